package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

var errNotYet = errors.New("not yet")

func never(context.Context) error { return errNotYet }

// shell runs a script as a child that ends with the test.
func shell(t *testing.T, script string) *child {
	t.Helper()
	c, err := startChild("shell", "/bin/sh", []string{"-c", script}, nil, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stop(0) })
	return c
}

// said succeeds when the child has written text.
func said(c *child, text string) func(context.Context) error {
	return func(context.Context) error {
		if strings.Contains(c.tail.String(), text) {
			return nil
		}
		return errNotYet
	}
}

func TestChildThatEndsEarlyShowsItsLastLines(t *testing.T) {
	c := shell(t, "echo one; echo two >&2; printf three; exit 3")
	err := c.ready(t.Context(), never)
	if err == nil {
		t.Fatal("ready of a dead child = nil; want an error")
	}
	for _, want := range []string{"shell ended by itself (exit status 3)", "shell | one", "shell | two", "shell | three"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("ready of a dead child = %q; want %q in it", err, want)
		}
	}
}

func TestChildThatIsNoProgram(t *testing.T) {
	if _, err := startChild("ghost", t.TempDir()+"/ghost", nil, nil, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "start ghost") {
		t.Errorf("startChild = %v; want an error that names the child", err)
	}
}

func TestReadyEndsWithItsContext(t *testing.T) {
	c := shell(t, "exec sleep 600")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.ready(ctx, never); !errors.Is(err, context.Canceled) {
		t.Errorf("ready = %v; want %v", err, context.Canceled)
	}
}

func TestStopIsPoliteFirst(t *testing.T) {
	c := shell(t, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done")
	if err := c.ready(t.Context(), said(c, "up")); err != nil {
		t.Fatal(err)
	}
	c.stop(time.Minute)
	if c.err != nil || !strings.Contains(c.tail.String(), "bye") {
		t.Errorf("the child ended with %v and %q; want nil and its bye", c.err, c.tail)
	}
}

func TestStopEndsAChildThatWillNot(t *testing.T) {
	c := shell(t, "trap '' TERM; echo up; while :; do sleep 0.01; done")
	if err := c.ready(t.Context(), said(c, "up")); err != nil {
		t.Fatal(err)
	}
	c.stop(time.Millisecond)
	if c.err == nil {
		t.Error("the child ended without an error; want it killed")
	}
}

func TestTailKeepsTheLastLinesOnly(t *testing.T) {
	out := new(strings.Builder)
	long := &tail{name: "x", log: out}
	for range 3 * tailLines {
		_, _ = long.Write([]byte("old\n"))
	}
	for range tailLines - 2 {
		_, _ = long.Write([]byte("new\n"))
	}
	_, _ = long.Write([]byte(strings.Repeat("y", 2*maxLineLength) + "\r\nla"))
	_, _ = long.Write([]byte("st\nopen"))
	got := strings.Split(long.String(), "\n")
	if len(got) != tailLines+1 || got[0] != "  x | new" || len(got[tailLines-2]) != maxLineLength+len("  x | ") ||
		got[tailLines-1] != "  x | last" || got[tailLines] != "  x | open" {
		t.Errorf("tail = %q; want the last %d lines, long ones cut, and the open one", got, tailLines)
	}
	if n := strings.Count(out.String(), "x         | old\n"); n != 3*tailLines {
		t.Errorf("the log has %d of %d old lines", n, 3*tailLines)
	}
}
