#include "shared/rights/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH    AUDIT_ARCH_X86_64
#define NUMBERS 0x40000000u /* above: the x32 calls, which go by the same architecture */
#elif defined(__aarch64__)
#define ARCH    AUDIT_ARCH_AARCH64
#define NUMBERS UINT32_MAX
#endif

#ifdef ARCH

#define EXECUTING 2 /* of them, at the front */

static const uint32_t denied[] = {
    /* other programs, and other processes' memory */
    SYS_execve,
    SYS_execveat,
#ifndef __SANITIZE_ADDRESS__ /* its search for leaks stops the other threads this way */
    SYS_ptrace,
#endif
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_kcmp,
    /* the machine */
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
#endif
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
    /* file systems and namespaces */
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_quotactl,
    SYS_open_by_handle_at,
    SYS_setns,
    SYS_unshare,
    /* wide parts of the kernel that we have no use for */
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
};

#define PROG_LOAD \
    5 /* BPF_PROG_LOAD; what else may be done to the kernel is sensor/source's business */

/* The low half of an argument; both architectures are little-endian. */
#define ARGUMENT(n)              offsetof(struct seccomp_data, args[n])

#define LOAD(offset)             BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offset))
#define ANSWER(error)            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define IF(op, value, otherwise) BPF_JUMP(BPF_JMP | (op) | BPF_K, (value), 0, (otherwise))

#define NAMESPACES                                                                                \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET)

static const struct sock_filter head[] = {
    LOAD(offsetof(struct seccomp_data, arch)),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
    ANSWER(EPERM),
    LOAD(offsetof(struct seccomp_data, nr)),
    IF(BPF_JGE, NUMBERS, 1),
    ANSWER(EPERM),
};

/* Calls that depend on an argument. clone3 hides its flags in memory: with ENOSYS the C library
 * takes clone instead. */
static const struct sock_filter tail[] = {
    IF(BPF_JEQ, SYS_clone3, 1),
    ANSWER(ENOSYS),
    IF(BPF_JEQ, SYS_clone, 4),
    LOAD(ARGUMENT(0)),
    IF(BPF_JSET, NAMESPACES, 1),
    ANSWER(EPERM),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    IF(BPF_JEQ, SYS_bpf, 3),
    LOAD(ARGUMENT(0)),
    IF(BPF_JEQ, PROG_LOAD, 1),
    ANSWER(EPERM),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static unsigned append(struct sock_filter *out, unsigned at, const struct sock_filter *from,
                       size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[at++] = from[i];
    return at;
}

int seccomp_deny(bool may_execute)
{
    struct sock_filter code[COUNT_OF(head) + 2 * COUNT_OF(denied) + COUNT_OF(tail)];
    unsigned n = append(code, 0, head, COUNT_OF(head));
    for (size_t i = may_execute ? EXECUTING : 0; i < COUNT_OF(denied); i++) {
        const struct sock_filter one[] = {IF(BPF_JEQ, denied[i], 1), ANSWER(EPERM)};
        n = append(code, n, one, COUNT_OF(one));
    }
    n = append(code, n, tail, COUNT_OF(tail));
    const struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
    /* SPEC_ALLOW: else kernels before 5.16 slow every branch of a filtered process. */
    long err = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                       SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
    if (err > 0)
        return -EBUSY; /* the thread of that id has a filter of its own */
    return err == 0 ? 0 : -errno;
}

#else

int seccomp_deny(bool may_execute)
{
    (void)may_execute;
    return -EOPNOTSUPP;
}

#endif
