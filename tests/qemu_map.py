# SPDX-License-Identifier: MIT
# qemu_map.py - whether QEMU sees in an exported qcow2 image what the disk has, and where
#
#	qemu_map.py map RAW IMAGE GRAIN [CHANGES]	qemu-img map: data, zeros, what is left to the base
#	qemu_map.py bitmap IMAGE CHANGES		the bitmap "changed" through qemu-nbd
#
# CHANGES is what "refpoint changes --json" printed, of one disk.
import json
import os
import subprocess
import sys

BIT = 65536


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


# Ranges [start, end) grown outward to grains and joined, as pairs of grains.
def grown(ranges, grain):
    out = []
    for start, end in ranges:
        start, end = start // grain, (end - 1) // grain + 1
        if out and start <= out[-1][1]:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
    return out


def data_of(path):
    with open(path, "rb") as file:
        fd, size, pos = file.fileno(), os.fstat(file.fileno()).st_size, 0
        while pos < size:
            try:
                start = os.lseek(fd, pos, os.SEEK_DATA)
            except OSError:
                return
            pos = os.lseek(fd, start, os.SEEK_HOLE)
            yield start, pos


def changes_of(path):
    with open(path) as file:
        disk = json.load(file)["Disks"][0]
    return [(at, at + size) for at, size in
            zip(disk["ChangedByteOffsets"], disk["ChangedByteLengths"])]


def cut(ranges, others, inside):
    """What of ranges is in the others, or outside of them."""
    out = []
    for start, end in ranges:
        for a, b in others:
            if b <= start or a >= end:
                continue
            if inside:
                out.append([max(a, start), min(b, end)])
            elif a > start:
                out.append([start, a])
            start = max(start, b)
        if not inside and start < end:
            out.append([start, end])
    return out


def compare(what, got, want):
    if got != want:
        differ = [x for x in got if x not in want] + [x for x in want if x not in got]
        sys.exit(f"{what}: {len(got)} ranges, not {len(want)}; {differ[:4]}")
    print(f"{what}: {len(got)} ranges")


def judge_map(raw, image, grain, changes=None):
    size = os.stat(raw).st_size
    mapped = json.loads(run("qemu-img", "map", "--output=json", "-f", "qcow2", image))
    end = 0
    for m in mapped:
        if m["start"] != end:
            sys.exit(f"map: a gap at {end}")
        end += m["length"]
    if end != (size + 511) // 512 * 512:
        sys.exit(f"map: ends at {end}")

    def told(yes):
        return grown([(m["start"], m["start"] + m["length"]) for m in mapped if yes(m)], grain)

    data = grown(data_of(raw), grain)
    if changes is None:
        compare("data", told(lambda m: m["data"]), data)
        compare("present", told(lambda m: m["present"]), data)
        return
    changed = grown(changes_of(changes), grain)
    ours = cut(data, changed, True)
    compare("changed", told(lambda m: m["depth"] == 0 and m["present"]), changed)
    compare("data", told(lambda m: m["depth"] == 0 and m["data"]), ours)
    # Of a cluster with data QEMU tells the holes of the file too.
    zeros = told(lambda m: m["depth"] == 0 and m["present"] and m["zero"])
    compare("zeros", cut(zeros, ours, False), cut(changed, data, False))


def judge_bitmap(image, changes):
    info = json.loads(run("qemu-img", "info", "--output=json", image))
    bitmaps = info["format-specific"]["data"]["bitmaps"]
    if bitmaps != [{"flags": [], "name": "changed", "granularity": BIT}]:
        sys.exit(f"bitmaps: {bitmaps}")
    server = ["qemu-nbd", "--read-only", "--format=qcow2", "--bitmap=changed", image]
    told = json.loads(run("nbdinfo", "--json", "--map=qemu:dirty-bitmap:changed", "--",
                          "[", *server, "]"))
    compare("bitmap", grown([(m["offset"], m["offset"] + m["length"])
                             for m in told if m["type"]], BIT),
            grown(changes_of(changes), BIT))


if sys.argv[1] == "map":
    judge_map(sys.argv[2], sys.argv[3], int(sys.argv[4]), *sys.argv[5:])
else:
    judge_bitmap(*sys.argv[2:])
