package integration

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const nodeDir = "node"

// nodeProgram returns the path of node: the one beside the packages, where the system's is too old, or the system's.
func nodeProgram(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(nodeDir, "node_modules", "mqtt")); err != nil {
		missing(t, "the npm packages of the integration tests", "npm ci in integration/node")
	}
	if path, err := filepath.Abs(filepath.Join(nodeDir, "node_modules", ".bin", "node")); err == nil && isExecutable(path) {
		return path
	}
	return program(t, "node")
}

// script is a program of integration/node that talks in lines of JSON.
type script struct {
	*process
	t     testing.TB
	stdin io.WriteCloser

	mu      sync.Mutex
	lastID  int
	answers map[int]chan json.RawMessage
	said    *output // lines that answer nothing
}

// startScript runs a script until the test ends and returns it when it said its first line.
func startScript(t testing.TB, file string, argument any) *script {
	t.Helper()
	node := nodeProgram(t)
	argumentJSON, err := json.Marshal(argument)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, answers: map[int]chan json.RawMessage{}, said: newOutput()}
	s.process = &process{name: file, stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	s.command = exec.Command(node, file, string(argumentJSON))
	s.command.Dir = nodeDir
	// A home of its own: Chromium keeps things there.
	s.command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TMPDIR=" + os.TempDir(), "NODE_NO_WARNINGS=1"}
	s.command.Stderr = s.stderr
	lines, w := io.Pipe()
	s.command.Stdout = io.MultiWriter(s.stdout, w)
	if s.stdin, err = s.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended }) // runs after the process was stopped
	s.launch(t)
	go func() {
		<-s.ended
		_ = w.Close()
	}()
	go func() {
		defer close(ended)
		s.dispatch(lines)
	}()
	s.said.awaitLine(t, "the first of "+file, func(string) bool { return true })
	return s
}

// dispatch hands answers to who asked.
func (s *script) dispatch(lines io.Reader) {
	reader := bufio.NewReader(lines)
	for {
		line, err := reader.ReadBytes('\n')
		if err != nil {
			return
		}
		var head struct{ ID int }
		if json.Unmarshal(line, &head) != nil || head.ID == 0 {
			_, _ = s.said.Write(line)
			continue
		}
		s.mu.Lock()
		answer := s.answers[head.ID]
		delete(s.answers, head.ID)
		s.mu.Unlock()
		if answer != nil {
			answer <- line
		}
	}
}

// do sends a command, waits for its answer and decodes it into result.
func (s *script) do(command map[string]any, result any) {
	s.t.Helper()
	answer := make(chan json.RawMessage, 1)
	s.mu.Lock()
	s.lastID++
	command["id"] = s.lastID
	s.answers[s.lastID] = answer
	s.mu.Unlock()
	line, err := json.Marshal(command)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.stdin.Write(append(line, '\n')); err != nil {
		s.t.Fatalf("%s: %v", s.name, err)
	}
	text := await(s.t, s.name+" answers "+string(line), answer)
	var outcome struct{ Failed string }
	if err := json.Unmarshal(text, &outcome); err != nil || outcome.Failed != "" {
		s.t.Fatalf("%s: %s: %v %s", s.name, line, err, outcome.Failed)
	}
	if result != nil {
		if err := json.Unmarshal(text, result); err != nil {
			s.t.Fatalf("%s: %s: %v in %s", s.name, line, err, text)
		}
	}
}

// startAedes runs the other broker and returns its address.
func startAedes(t testing.TB) (address string, s *script) {
	t.Helper()
	port := freePort(t)
	s = startScript(t, "aedes.mjs", map[string]any{"port": port})
	s.said.await(t, `"ready":true`)
	return loopback(port), s
}

// chromium returns the path of the browser.
func chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return program(t, "chromium")
}

// startChromium runs a headless browser; trust are the pins of certificates that it takes besides (SHA-256 of the public key, base64).
func startChromium(t testing.TB, trust ...string) *script {
	t.Helper()
	args := []string{"--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking", "--no-first-run"}
	if len(trust) > 0 {
		args = append(args, "--ignore-certificate-errors-spki-list="+strings.Join(trust, ","))
	}
	return startScript(t, "chromium.mjs", map[string]any{"executable": chromium(t), "args": args})
}
