//go:build !linux

package wire

import "syscall"

func lightRead(fd uintptr, p []byte) (int, error)  { return syscall.Read(int(fd), p) }
func lightWrite(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }
