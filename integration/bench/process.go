//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a child process.
type process struct {
	name    string
	command *exec.Cmd
	log     string        // file of what it wrote
	ended   chan struct{} // closed when the process has been waited for
}

// start runs a program with its output in a file of dir. It dies with this one.
func start(dir, name, path string, args, env []string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	p.command = exec.Command(path, args...)
	p.command.Stdout, p.command.Stderr = log, log
	p.command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, env...)
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.command.Wait() // nobody asks how it ended
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.command.Process.Pid }

// stop ends the process by SIGTERM, after a while by SIGKILL. A nil process has ended.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = p.command.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		_ = p.command.Process.Kill()
		<-p.ended
	}
}

// await polls until condition holds, the process ends or patience does.
func (p *process) await(ctx context.Context, condition func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("%s ended while starting:\n%s", p.name, p.tail())
		case <-timeout:
			return fmt.Errorf("%s is not ready after %v:\n%s", p.name, patience, p.tail())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// tail returns the end of what the process wrote.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(len(text)-4096, 0):])
}

// listening reports whether somebody accepts connections at address.
func listening(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// answers reports whether a URL answers 200.
func answers(url string) bool {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// freeAddress returns a loopback address that nobody listens at, from below the range of outgoing connections.
func freeAddress() (string, error) {
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 12000+time.Now().UnixNano()/1000%18000)
		listener, err := net.Listen("tcp", address)
		if err == nil {
			return address, listener.Close()
		}
	}
	return "", errors.New("no free port")
}

// program returns the path of an installed program.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path := filepath.Join("/usr/sbin", name) // where Debian keeps servers; not in everybody's PATH
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is not installed: `make bench` does that", name)
	}
	return path, nil
}
