/* SPDX-License-Identifier: MIT */
/*
 * progress.c - progress bar, warnings, and stopping on a signal
 *
 * The library calls back between its steps; a signal only leaves its number for
 * the next call, so that the method is the one to clean up.
 */
#include "cli/progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/out.h"
#include "cli/text.h"

#define REDRAW_MS 200
#define BAR_MIN	  8
#define BAR_MAX	  40

/* timeout(1) signals its child, and its group: that is one wish, not two. */
#define AGAIN_MS 200

static volatile sig_atomic_t stopped_by;
static uint64_t stopped_ms; /* the handler's */

int stop_signal(void)
{
	return stopped_by;
}

void forget_stop_signal(void)
{
	stopped_by = 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* One at a time: all are blocked meanwhile. */
static void on_signal(int sig)
{
	if (!stopped_by) {
		stopped_ms = now_ms();
		stopped_by = sig;
	} else if (now_ms() - stopped_ms >= AGAIN_MS) {
		signal(sig, SIG_DFL);
		raise(sig); /* takes effect when we return */
	}
}

/* A signal that is ignored already (nohup, a background job) stays ignored. */
static void catch_signal(int sig)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct sigaction old;

	sigaddset(&action.sa_mask, SIGINT);
	sigaddset(&action.sa_mask, SIGTERM);
	sigaddset(&action.sa_mask, SIGHUP);
	if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
		sigaction(sig, &action, NULL);
}

void catch_stop_signals(void)
{
	catch_signal(SIGINT);
	catch_signal(SIGTERM);
	catch_signal(SIGHUP);
}

static size_t terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
		return size.ws_col;
	return 80;
}

/* Blanks instead of an escape sequence: any terminal knows them. */
static void wipe(struct progress *p)
{
	if (p->drawn_length)
		fprintf(stderr, "\r%*s\r", (int)p->drawn_length, "");
	p->drawn_length = 0;
}

static struct text eta_text(const struct rp_progress *now)
{
	uint64_t left = now->bytes_total - now->bytes_done, s;
	struct text text = {""};

	if (!now->bytes_per_second || now->bytes_done > now->bytes_total)
		return text;
	s = left / now->bytes_per_second;
	if (s >= 3600)
		snprintf(text.s, sizeof(text.s), "  ETA %" PRIu64 ":%02u:%02u", s / 3600,
			 (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	else
		snprintf(text.s, sizeof(text.s), "  ETA %u:%02u", (unsigned)(s / 60),
			 (unsigned)(s % 60));
	return text;
}

static void draw(struct progress *p, const struct rp_progress *now)
{
	static const char marks[] = "########################################";
	static const char dashes[] = "----------------------------------------";
	double part = now->bytes_total ? (double)now->bytes_done / now->bytes_total : 0;
	_cleanup_free_ char *left = NULL, *right = NULL, *line = NULL;
	size_t width = terminal_width() - 1, used, bar, full, length;

	if (part > 1)
		part = 1;
	if (p->count > 1)
		left = format_text("[%zu/%zu] %s %3.0f%%", p->index, p->count, now->phase,
				   100 * part);
	else
		left = format_text("%s %3.0f%%", now->phase, 100 * part);
	right = format_text("%s/%s  %s/s%s", size_text(now->bytes_done).s,
			    size_text(now->bytes_total).s,
			    size_text(now->bytes_per_second).s, eta_text(now).s);

	used = strlen(left) + strlen(right) + 6; /* " [" and "]  " and one to spare */
	bar = used + BAR_MIN <= width ? width - used : 0;
	if (bar > BAR_MAX)
		bar = BAR_MAX;
	full = part * bar;
	if (bar)
		line = format_text("%s [%.*s%.*s]  %s", left, (int)full, marks,
				   (int)(bar - full), dashes, right);
	else
		line = format_text("%s  %s", left, right);
	if (strlen(line) > width)
		line[width] = '\0';
	length = strlen(line);
	/* one write, the rest of a longer line before it blanked: no flicker */
	fprintf(stderr, "\r%-*s", (int)p->drawn_length, line);
	if (length > p->drawn_length)
		p->drawn_length = length;
}

static int on_progress(void *context, const struct rp_progress *now)
{
	struct progress *p = context;
	uint64_t ms = now_ms();

	if (p->bar && (!p->drawn_ms || ms - p->drawn_ms >= REDRAW_MS)) {
		p->drawn_ms = ms;
		draw(p, now);
	}
	return stopped_by != 0;
}

static void on_warning(void *context, const char *text)
{
	struct progress *p = context;

	wipe(p);
	warn(p->cli, p->operand, text);
}

void progress_begin(struct progress *p, const struct cli *cli, const char *operand,
		    size_t count)
{
	*p = (struct progress){
		.watch =
			{
				.size = sizeof(p->watch),
				.context = p,
				.progress = on_progress,
				.warning = on_warning,
			},
		.cli = cli,
		.operand = operand,
		.index = 1,
		.count = count,
		.bar = isatty(STDERR_FILENO),
	};
	catch_stop_signals();
}

void progress_end(struct progress *p)
{
	wipe(p);
}
