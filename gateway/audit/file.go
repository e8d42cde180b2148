package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// fileMode lets the owner write, and the group (of whoever collects logs) read. A file that is there keeps its own.
const fileMode = 0o640

// FileSink appends lines of JSON to a file, which it makes when it is not there. The file may be moved away or deleted
// at any time: the next events go to a new one.
type FileSink struct {
	path   string
	reopen atomic.Bool

	mu   sync.Mutex // held over a write
	file *os.File   // nil: to be opened
}

// NewFileSink opens nothing yet: a directory that is missing now may be there later.
func NewFileSink(path string) *FileSink { return &FileSink{path: path} }

// Reopen lets go of the file, so that whoever moved it may have it, and opens the path anew for the next events. It does
// not wait for a write that goes on, after which the file is let go.
func (s *FileSink) Reopen() {
	s.reopen.Store(true)
	if s.mu.TryLock() {
		defer s.mu.Unlock()
		_ = s.release()
	}
}

// release closes the file. mu is held.
func (s *FileSink) release() error {
	s.reopen.Store(false)
	if s.file == nil {
		return nil
	}
	file := s.file
	s.file = nil
	return file.Close()
}

// Write cannot be stopped by a context: a file system that hangs has no such means.
//
// When the disk is full after a part of a line, that is cut off again, so that the file holds whole lines and the event
// is written when there is room.
func (s *FileSink) Write(_ context.Context, events []Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	var b bytes.Buffer
	ends := make([]int, len(events)) // of lines
	for i := range events {
		if err := events[i].encode(&b); err != nil {
			return err
		}
		ends[i] = b.Len()
	}
	n, err := s.file.Write(b.Bytes())
	if err == nil {
		if s.reopen.Load() {
			_ = s.release()
		}
		return nil
	}
	whole, written := 0, 0
	for written < len(ends) && ends[written] <= n {
		whole, written = ends[written], written+1
	}
	if n > whole {
		s.cut(int64(n - whole))
	}
	_ = s.release() // with what open does, no line is ever joined to the rest of another
	return &WriteError{written, err}
}

// cut takes the last bytes off the file again. If that fails, open ends their line.
func (s *FileSink) cut(bytes int64) {
	if info, err := s.file.Stat(); err == nil {
		_ = s.file.Truncate(info.Size() - bytes)
	}
}

// open makes file the one at the path. mu is held.
func (s *FileSink) open() error {
	if s.file != nil {
		there, err := os.Stat(s.path)
		if err == nil && !s.reopen.Load() {
			if ours, err := s.file.Stat(); err == nil && os.SameFile(there, ours) {
				return nil
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !s.reopen.Load() {
			return err // whether it is still there is not known now
		}
		_ = s.release()
	}
	s.reopen.Store(false)
	// Nothing that is no file may hold us up, such as a FIFO that nobody reads.
	file, err := os.OpenFile(s.path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, fileMode)
	if err != nil {
		return err
	}
	if err := endLine(file); err != nil {
		_ = file.Close()
		return err
	}
	s.file = file
	return nil
}

// endLine ends the line that somebody has begun who was killed, so that the next one stands for itself.
func endLine(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", file.Name())
	}
	if info.Size() == 0 {
		return nil
	}
	var last [1]byte
	if _, err := file.ReadAt(last[:], info.Size()-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		_, err = file.WriteString("\n")
	}
	return err
}

// Close waits for a write that goes on.
func (s *FileSink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.release()
}
