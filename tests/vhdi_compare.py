# SPDX-License-Identifier: MIT
# vhdi_compare.py - whether libvhdi reads a chain of VHDX images, the tip first, as a raw file;
# of one larger than a TiB only what is data, and what is beside it
import os
import sys

import pyvhdi

folder, raw, *names = sys.argv[1:]
os.chdir(folder)
chain = []
for name in names:
    image = pyvhdi.file()
    image.open(name)
    if chain:
        child = chain[-1]
        if child.get_parent_identifier() != image.get_identifier():
            sys.exit(f"{name}: not the parent {child.get_parent_identifier()}")
        child.set_parent(image)
    chain.append(image)


# The MiBs to look at.
def pieces(fd, size):
    if size <= 1 << 40:
        yield from range(0, size, 1 << 20)
        return
    pos = done = 0
    while pos < size:
        try:
            start = os.lseek(fd, pos, os.SEEK_DATA)
        except OSError:
            break
        pos = os.lseek(fd, start, os.SEEK_HOLE)
        for at in range(max((start >> 20) - 1, done) << 20, min(pos + (2 << 20), size), 1 << 20):
            yield at
            done = (at >> 20) + 1
    yield (size - 1) >> 20 << 20


with open(raw, "rb") as file:
    size = file.seek(0, 2)
    file.seek(0)
    if chain[0].get_media_size() != size:
        sys.exit(f"{names[0]}: {chain[0].get_media_size()} bytes, not {size}")
    for at in pieces(file.fileno(), size):
        file.seek(at)
        want = file.read(1 << 20)
        if chain[0].read_buffer_at_offset(len(want), at) != want:
            sys.exit(f"{names[0]}: differs in the MiB at {at}")
