package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestChildrenFollowTheirParent kills a process that has a child, without a chance to clean up. The child
// holds a pipe open: its end is the pipe's.
func TestChildrenFollowTheirParent(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), asParent+"="+pipe)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(pipe) // returns once the child has opened it
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if _, err := io.ReadAll(held); err != nil {
		t.Fatal(err)
	}
}
