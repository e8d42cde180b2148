package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	readyTimeout = 20 * time.Second       // for a child to answer after its start, on a slow machine
	readyPoll    = 20 * time.Millisecond  // between two attempts to reach it
	probeTimeout = 2 * time.Second        // for one attempt
	stopTimeout  = 5 * time.Second        // between SIGTERM and SIGKILL
	pipeTimeout  = 500 * time.Millisecond // for output of a child that has ended but left a pipe open

	tailLines     = 12   // shown when a child ends early
	maxLineLength = 4096 // of which more is cut
)

var errNoAnswer = errors.New("no answer")

// child is a process that the demo started.
type child struct {
	name  string
	cmd   *exec.Cmd
	tail  *tail
	ended chan struct{} // closed when the process has been waited for
	err   error         // how it ended; valid once ended is closed
}

// startChild runs a program in dir. Each line that it writes goes to log as well, unless log is nil.
func startChild(name, path string, args, env []string, dir string, log io.Writer) (*child, error) {
	c := &child{name: name, tail: &tail{name: name, log: log}, ended: make(chan struct{})}
	c.cmd = exec.Command(path, args...)
	c.cmd.Dir, c.cmd.Env = dir, env
	c.cmd.Stdout, c.cmd.Stderr = c.tail, c.tail
	c.cmd.SysProcAttr = childAttributes()
	c.cmd.WaitDelay = pipeTimeout
	started := make(chan error)
	go func() {
		// The kernel's "parent" of Pdeathsig is the thread that started the child, so this one must stay
		// as long as the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, nil
}

// ready waits until probe succeeds. A child that ends before that, or does not answer in time, is an
// error that shows its last lines.
func (c *child) ready(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errNoAnswer)
	defer cancel()
	retry := time.NewTicker(readyPoll)
	defer retry.Stop()
	for {
		attempt, done := context.WithTimeout(ctx, probeTimeout)
		err := probe(attempt)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-c.ended:
			return c.earlyEnd()
		case <-ctx.Done():
			cause := context.Cause(ctx)
			if errors.Is(cause, errNoAnswer) {
				return fmt.Errorf("%s: %w in %v: %w\n%s", c.name, cause, readyTimeout, err, c.tail)
			}
			return cause
		case <-retry.C:
		}
	}
}

func (c *child) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// earlyEnd describes the end of a child that nobody asked to end.
func (c *child) earlyEnd() error {
	how := "exit status 0"
	if c.err != nil {
		how = c.err.Error()
	}
	return fmt.Errorf("%s ended by itself (%s)\n%s", c.name, how, c.tail)
}

// stop ends the child: politely, and after grace not.
func (c *child) stop(grace time.Duration) {
	select {
	case <-c.ended:
		return
	default:
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err == nil {
		select {
		case <-c.ended:
			return
		case <-time.After(grace):
		}
	}
	_ = c.cmd.Process.Kill() // an error means that it has ended meanwhile
	<-c.ended
}

// tail keeps the last lines that were written to it.
type tail struct {
	name string
	log  io.Writer // nil: nobody wants to see the lines as they come

	mu    sync.Mutex
	lines []string // at most tailLines
	rest  []byte   // the line that has no end yet, at most maxLineLength
}

// Write never fails: a child must not stop because nobody reads its log.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range bytes.Lines(p) {
		whole := bytes.HasSuffix(line, []byte("\n"))
		t.rest = append(t.rest, bytes.TrimRight(line, "\r\n")...)
		t.rest = t.rest[:min(len(t.rest), maxLineLength)]
		if whole {
			t.add(string(t.rest))
			t.rest = t.rest[:0]
		}
	}
	return len(p), nil
}

func (t *tail) add(line string) {
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
	if t.log != nil {
		fmt.Fprintf(t.log, "%-9s | %s\n", t.name, line)
	}
}

// String returns the last lines, each marked with the child's name.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	if len(t.rest) > 0 {
		lines = append(lines[:len(lines):len(lines)], string(t.rest))
	}
	if len(lines) == 0 {
		return "  (it wrote nothing)"
	}
	return "  " + t.name + " | " + strings.Join(lines, "\n  "+t.name+" | ")
}

// lockedWriter lets several children write to one stream, a line at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
