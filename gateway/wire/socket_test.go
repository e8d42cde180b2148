package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"topicgate/frames"
)

// socketPair is a socket and what it is connected to.
func socketPair(t *testing.T) (*Socket, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return NewSocket(near), far.(*net.TCPConn)
}

func TestASocketReadsWhatWasSentInReadsOfAnySize(t *testing.T) {
	for _, size := range []int{1, 7, 256, chunkBytes/2 - 1, chunkBytes / 2, 3 * chunkBytes} {
		s, far := socketPair(t)
		sent := make([]byte, 300_000)
		for i := range sent {
			sent[i] = byte(i * 7 >> 3)
		}
		go func() { _, _ = far.Write(sent); _ = far.CloseWrite() }()
		var got []byte
		p := make([]byte, size)
		for {
			n, err := s.Read(p)
			got = append(got, p[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("reads of %d: got %d bytes that are not the %d sent", size, len(got), len(sent))
		}
		if s.chunk != nil {
			t.Error("a chunk is held after the end")
		}
	}
}

func TestASocketTellsBeforeItWaits(t *testing.T) {
	s, far := socketPair(t)
	idle := make(chan struct{}, 10)
	s.Idle = func() error { idle <- struct{}{}; return nil }
	read := make(chan string, 10)
	go func() {
		p := make([]byte, 3)
		for {
			n, err := s.Read(p)
			if err != nil {
				close(read)
				return
			}
			read <- string(p[:n])
		}
	}()
	<-idle
	if _, err := far.Write([]byte("abcdef")); err != nil {
		t.Fatal(err)
	}
	if got := <-read + <-read; got != "abcdef" {
		t.Errorf("read = %q; want abcdef", got)
	}
	<-idle
	_ = far.Close()
	if more, ok := <-read; ok {
		t.Errorf("read = %q; want the end", more)
	}
}

func TestAnIdleErrorEndsTheRead(t *testing.T) {
	s, _ := socketPair(t)
	stop := errors.New("stop")
	s.Idle = func() error { return stop }
	if _, err := s.Read(make([]byte, 10)); !errors.Is(err, stop) {
		t.Errorf("Read = %v; want %v", err, stop)
	}
	s.Idle = nil
	_ = s.SetReadDeadline(time.Now())
	if _, err := s.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read after the deadline = %v; want a timeout", err)
	}
}

func TestFillHoldsNoStorageWhileItWaits(t *testing.T) {
	s, far := socketPair(t)
	var b frames.Buffer
	go func() { _, _ = far.Write([]byte("one")) }()
	if err := s.Fill(&b); err != nil || string(b.Peek()) != "one" {
		t.Fatalf("fill = %v, %q; want \"one\"", err, b.Peek())
	}
	go func() { _, _ = far.Write([]byte("two")); _ = far.CloseWrite() }()
	for string(b.Peek()) != "onetwo" { // what is not cut stays
		if err := s.Fill(&b); err != nil {
			t.Fatal(err)
		}
	}
	b.Skip(6)
	if err := s.Fill(&b); err != io.EOF {
		t.Errorf("fill = %v; want %v", err, io.EOF)
	}
}

func TestWritesAreBoundedByTheWriteTimeout(t *testing.T) {
	s, _ := socketPair(t)
	s.LimitWrites(50 * time.Millisecond)
	if err := s.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil { // as the layers above do
		t.Fatal(err)
	}
	for {
		if _, err := s.Write(make([]byte, 1<<20)); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write = %v; want a timeout", err)
			}
			return
		}
	}
}

func TestASocketWritesWholeBuffersFromManySides(t *testing.T) {
	s, far := socketPair(t)
	const writers, each = 4, 3*lightBytes + 17 // more than one call and the socket's buffer take
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			if n, err := s.Write(bytes.Repeat([]byte{byte(w)}, each)); n != each || err != nil {
				t.Errorf("Write = %d, %v; want %d", n, err, each)
			}
		})
	}
	for range writers {
		p := make([]byte, each)
		if _, err := io.ReadFull(far, p); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(p, bytes.Repeat(p[:1], each)) {
			t.Error("a write was cut by another one")
		}
	}
	wg.Wait()
	_ = far.Close()
	_ = s.Close()
	if n, err := s.Write([]byte("x")); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after Close = %d, %v; want 0, %v", n, err, net.ErrClosed)
	}
}
