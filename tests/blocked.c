/* SPDX-License-Identifier: MIT */
/*
 * blocked.c - seccomp filters that answer for the kernel, and capabilities
 */
#include "blocked.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "io/base.h"

void block_syscall(unsigned number, unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

	ASSERT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		SKIP("no seccomp filters: %s", strerror(errno));
}

void let_have(unsigned capability, bool on)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	uint32_t *effective = &caps[CAP_TO_INDEX(capability)].effective;

	ASSERT_OK(syscall(SYS_capget, &head, caps));
	*effective &= ~CAP_TO_MASK(capability);
	*effective |= on ? CAP_TO_MASK(capability) : 0;
	ASSERT_OK(syscall(SYS_capset, &head, caps));
}
