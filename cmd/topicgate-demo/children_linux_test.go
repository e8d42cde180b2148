package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
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

// TestMosquittoFollowsItsParent does the same with a program that may change its user, which is when Linux
// forgets about the parent.
func TestMosquittoFollowsItsParent(t *testing.T) {
	given, err := findPrograms(programs{topicgate: os.Args[0]})
	if err != nil {
		missing(t, err.Error())
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), asStarter+"="+given.mosquitto+":"+port+":"+t.TempDir())
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(loopback, port)
	answers := func() bool { return answersTCP(address)(t.Context()) == nil }
	eventually(t, "mosquitto answers", answers)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	eventually(t, "mosquitto is gone", func() bool { return !answers() })
}

// eventually looks until what is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	look := time.NewTicker(readyPoll)
	defer look.Stop()
	for deadline := time.After(patience); !so(); {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
