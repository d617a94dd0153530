package main

import (
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() { runtime.LockOSThread() } // whose parent's death signal is asked for below

// confine takes from the process what no build needs. The walls are in rooted.go and silence; this is what is left
// if kustomize has a fault that gets around them, and it bounds what a build can use.
func confine(bounds limits) {
	debug.SetTraceback("none")
	lower(unix.RLIMIT_AS, uint64(bounds.memory)+reserved())
	lower(unix.RLIMIT_DATA, uint64(bounds.memory))
	lower(unix.RLIMIT_CORE, 0)
	lower(unix.RLIMIT_FSIZE, 0)
	lower(unix.RLIMIT_NOFILE, 256)
	exceeded := make(chan os.Signal, 1)
	signal.Notify(exceeded, syscall.SIGXCPU)
	go func() { <-exceeded; os.Exit(exitCPU) }()
	grantCPU(bounds.seconds)
	endWithParent()
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	forbid()
}

// endWithParent has the kernel kill the process, whatever program it becomes, as soon as the thread that started it ends.
func endWithParent() { _ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0) }

func lower(resource int, value uint64) {
	var now unix.Rlimit
	if unix.Getrlimit(resource, &now) == nil && value < now.Cur {
		_ = unix.Setrlimit(resource, &unix.Rlimit{Cur: value, Max: value})
	}
}

// reserved is the address space that Go has taken before the first build.
func reserved() uint64 {
	var size, rest uint64
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 2 << 30
	}
	for _, character := range text {
		if character < '0' || character > '9' {
			break
		}
		size = size*10 + uint64(character-'0')
	}
	return size*uint64(os.Getpagesize()) + rest
}

// grantCPU lets the next build use so many seconds. The limit counts from the beginning of the process.
func grantCPU(seconds int64) {
	var used unix.Rusage
	var now unix.Rlimit
	if unix.Getrusage(unix.RUSAGE_SELF, &used) != nil || unix.Getrlimit(unix.RLIMIT_CPU, &now) != nil {
		return
	}
	now.Cur = min(uint64(used.Utime.Sec+used.Stime.Sec+seconds+1), now.Max)
	_ = unix.Setrlimit(unix.RLIMIT_CPU, &now)
}

// forbidden are calls of the kernel that no build makes: starting programs, the network, writing files, looking into
// other processes.
var forbidden = []uint32{
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_IO_URING_SETUP, unix.SYS_BPF,
	unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT,
	unix.SYS_FCHMODAT, unix.SYS_FCHOWNAT, unix.SYS_MKNODAT, unix.SYS_TRUNCATE, unix.SYS_MOUNT, unix.SYS_UNSHARE,
	unix.SYS_SETNS, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_KEYCTL,
}

// forbid has the kernel refuse those, in every thread, where it can (seccomp).
func forbid() {
	const load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	const equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	const give = unix.BPF_RET | unix.BPF_K
	count := len(forbidden)
	filter := []unix.SockFilter{
		{Code: load, K: 4},                             // the architecture
		{Code: equal, K: architecture, Jt: 1},          // ours: go on
		{Code: give, K: unix.SECCOMP_RET_KILL_PROCESS}, // another's numbers would mean other calls
		{Code: load, K: 0},                             // the number of the call
	}
	for index, number := range forbidden {
		filter = append(filter, unix.SockFilter{Code: equal, K: number, Jt: uint8(count - index)})
	}
	filter = append(filter,
		unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: give, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
	)
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == nil {
		_, _, _ = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
			uintptr(unsafe.Pointer(&program)))
	}
}
