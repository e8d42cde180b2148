package main

import "syscall"

// childAttributes puts a child into a process group of its own, so that Ctrl-C at a terminal reaches
// the demo alone, which then ends the children in order; and lets the kernel end the child when the
// demo dies without a chance to do so.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
