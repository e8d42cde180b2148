package audit

import (
	"bytes"
	"context"
	"io"
)

// NewWriterSink writes one JSON object a line, and one Write for each batch, so that lines of
// several processes do not mix on a pipe or in a file. Close leaves w open, since it
// belongs to the caller.
func NewWriterSink(w io.Writer) Sink { return &writerSink{w: w} }

type writerSink struct {
	w    io.Writer
	torn []byte // rest of a line that a failed Write has begun
}

// Write cannot be stopped by a context: a writer has no such means.
func (s *writerSink) Write(_ context.Context, events []Event) error {
	var b bytes.Buffer
	b.Write(s.torn)
	ends := make([]int, len(events)) // of lines
	for i := range events {
		if err := events[i].encode(&b); err != nil {
			return err
		}
		ends[i] = b.Len()
	}
	n, err := s.w.Write(b.Bytes())
	if err == nil {
		s.torn = nil
		return nil
	}
	if n < len(s.torn) {
		s.torn = s.torn[n:]
		return &WriteError{0, err}
	}
	start, written := len(s.torn), 0
	for written < len(ends) && ends[written] <= n {
		start, written = ends[written], written+1
	}
	s.torn = nil
	if n > start { // a line was begun: it counts as written, its rest goes first next time
		s.torn = bytes.Clone(b.Bytes()[n:ends[written]])
		written++
	}
	return &WriteError{written, err}
}

func (s *writerSink) Close() error { return nil }
