package integration

import "syscall"

// dieWithParent lets no server outlive a test run that was killed or panicked.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
