//go:build !linux

package main

import "syscall"

// childAttributes asks for nothing: only Linux tells a child of its parent's death.
func childAttributes() *syscall.SysProcAttr { return nil }
