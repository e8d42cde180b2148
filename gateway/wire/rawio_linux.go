package wire

import (
	"syscall"
	"unsafe"
)

// lightRead and lightWrite are read(2) and write(2) on a descriptor that does not block, without telling Go's
// scheduler, which prepares for a system call that may take long: the first one after a time
// in which nothing happened wakes up the runtime's monitor thread. For a message that comes alone, that
// thread (a futex, two switches and its sleeps) costs about as much as all the rest.
//
// Whoever goes on and on must use the ordinary calls now and then, so that the monitor is awake to preempt
// it: see socket.try. p is not empty.
func lightRead(fd uintptr, p []byte) (int, error) { return light(syscall.SYS_READ, fd, p) }

// lightWrite writes no more than lightBytes at once: nothing else runs on this processor meanwhile.
func lightWrite(fd uintptr, p []byte) (int, error) {
	return light(syscall.SYS_WRITE, fd, p[:min(len(p), lightBytes)])
}

func light(call, fd uintptr, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
