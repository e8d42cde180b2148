package audit

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// linesOf are the topics of the records in a file; every line of it must be one.
func linesOf(t *testing.T, path string) (topics []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil || !bytes.HasSuffix(line, []byte("\n")) {
			t.Errorf("%s: line %q is no record: %v", path, line, err)
		}
		topics = append(topics, e.Topic)
	}
	return topics
}

func wantLines(t *testing.T, path string, want ...string) {
	t.Helper()
	if got := linesOf(t, path); !slices.Equal(got, want) {
		t.Errorf("%s has %q; want %q", path, got, want)
	}
}

func written(t *testing.T, s Sink, topics ...string) {
	t.Helper()
	var events []Event
	for _, name := range topics {
		events = append(events, topic(name))
	}
	if err := s.Write(t.Context(), events); err != nil {
		t.Fatalf("Write(%q) = %v", topics, err)
	}
}

func TestAFileThatWasMovedOrDeletedIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	path, old := filepath.Join(dir, "audit"), filepath.Join(dir, "audit.1")
	s := NewFileSink(path)
	written(t, s, "a", "b")
	written(t, s, "c")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^fileMode != 0 || info.Mode().Perm()&0o600 != 0o600 {
		t.Errorf("mode %v, %v; want no more than %o", info.Mode(), err, fileMode)
	}
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	written(t, s, "d")
	wantLines(t, old, "a", "b", "c")
	wantLines(t, path, "d")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	written(t, s, "e")
	wantLines(t, path, "e")

	// Another one in its place is taken as it is, with its mode.
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	written(t, s, "f")
	wantLines(t, path, "f")
	wantLines(t, old, "e")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 600", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

// What logrotate compresses after SIGHUP must not be written to any more, and need not be kept open until the next event.
func TestReopenLetsGoOfTheFile(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "audit"), filepath.Join(dir, "link")
	s := NewFileSink(path)
	written(t, s, "a")
	if err := os.Link(path, link); err != nil {
		t.Fatal(err)
	}
	s.Reopen()
	if s.file != nil {
		t.Error("the file is open after Reopen")
	}
	written(t, s, "b")
	wantLines(t, link, "a", "b")

	// While a write goes on, Reopen does not wait for it.
	s.mu.Lock()
	s.Reopen()
	s.mu.Unlock()
	before := s.file
	written(t, s, "c")
	if s.file == before {
		t.Error("the file is the same after a Reopen during a write")
	}
	wantLines(t, path, "a", "b", "c")
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
}

func TestAMissingDirectoryIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "audit")
	s := NewFileSink(path)
	if err := s.Write(t.Context(), []Event{topic("a")}); !os.IsNotExist(err) {
		t.Errorf("Write() = %v; want that there is no such directory", err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	written(t, s, "a")
	wantLines(t, path, "a")
	_ = s.Close()
}

func TestALineThatWasBegunIsNotJoined(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit")
	if err := os.WriteFile(path, []byte(`{"type":"audit","ti`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewFileSink(path)
	written(t, s, "a")
	_ = s.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if first, rest, _ := strings.Cut(string(text), "\n"); first != `{"type":"audit","ti` || !strings.HasPrefix(rest, `{"type":"audit","time"`) {
		t.Errorf("the file holds %q; want the begun line ended, and a whole one", text)
	}
}

// The limit for the size of files stands for a full disk, in a process of its own.
func TestAFullDiskLeavesWholeLines(t *testing.T) {
	const inside = "TOPICGATE_TEST_FULL_DISK"
	if os.Getenv(inside) == "" {
		child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		child.Env = append(os.Environ(), inside+"=1")
		if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var usual syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &usual); err != nil {
		t.Fatal(err)
	}
	limit := func(bytes int) {
		full := usual
		if bytes >= 0 {
			full.Cur = uint64(bytes)
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
			t.Fatal(err)
		}
	}
	defer limit(-1)
	var line bytes.Buffer
	e := topic("a")
	if err := e.encode(&line); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 1, line.Len() - 1, line.Len(), line.Len() + 1, 2*line.Len() - 1, 2 * line.Len()} {
		path := filepath.Join(t.TempDir(), "audit")
		s := NewFileSink(path)
		written(t, s, "0")
		limit(line.Len() + room)
		events := []Event{topic("a"), topic("b"), topic("c")}
		for range 2 {
			err := s.Write(t.Context(), events)
			limited, ok := err.(*WriteError)
			if !ok || limited.Written > 2 {
				t.Fatalf("room for %d bytes: Write() = %v; want a *WriteError", room, err)
			}
			events = events[limited.Written:]
		}
		if want := 3 - room/line.Len(); len(events) != want {
			t.Errorf("room for %d bytes: %d events are left; want %d", room, len(events), want)
		}
		linesOf(t, path)
		limit(-1)
		if err := s.Write(t.Context(), events); err != nil {
			t.Errorf("with room again: Write() = %v", err)
		}
		wantLines(t, path, "0", "a", "b", "c")
		_ = s.Close()
	}
}

func TestWhatIsNoFileHoldsUpNobody(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, dir, "/dev/null"} {
		s := NewFileSink(path)
		if err := s.Write(t.Context(), []Event{topic("a")}); err == nil {
			t.Errorf("Write() to %s = nil; want an error", path)
		}
		_ = s.Close()
	}
}
