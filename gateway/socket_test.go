package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
)

// socketPair is a socket and what it is connected to.
func socketPair(t *testing.T) (*socket, *net.TCPConn) {
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
	return newSocket(near), far.(*net.TCPConn)
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
	s.idle = func() error { idle <- struct{}{}; return nil }
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
	s.idle = func() error { return stop }
	if _, err := s.Read(make([]byte, 10)); !errors.Is(err, stop) {
		t.Errorf("Read = %v; want %v", err, stop)
	}
	s.idle = nil
	_ = s.SetReadDeadline(time.Now())
	if _, err := s.Read(make([]byte, 10)); !isTimeout(err) {
		t.Errorf("Read after the deadline = %v; want a timeout", err)
	}
}

func TestFillHoldsNoStorageWhileItWaits(t *testing.T) {
	s, far := socketPair(t)
	var b frames.Buffer
	go func() { _, _ = far.Write([]byte("one")) }()
	if err := s.fill(&b); err != nil || string(b.Peek()) != "one" {
		t.Fatalf("fill = %v, %q; want \"one\"", err, b.Peek())
	}
	go func() { _, _ = far.Write([]byte("two")); _ = far.CloseWrite() }()
	for string(b.Peek()) != "onetwo" { // what is not cut stays
		if err := s.fill(&b); err != nil {
			t.Fatal(err)
		}
	}
	b.Skip(6)
	if err := s.fill(&b); err != io.EOF {
		t.Errorf("fill = %v; want %v", err, io.EOF)
	}
}

func TestWritesAreBoundedByTheWriteTimeout(t *testing.T) {
	s, _ := socketPair(t)
	s.limitWrites(50 * time.Millisecond)
	if err := s.SetWriteDeadline(time.Now().Add(time.Hour)); err != nil { // as the layers above do
		t.Fatal(err)
	}
	for {
		if _, err := s.Write(make([]byte, 1<<20)); err != nil {
			if !isTimeout(err) {
				t.Errorf("Write = %v; want a timeout", err)
			}
			return
		}
	}
}

// tcpRig is a rig over sockets: the address of the gateway, and the broker's connections.
func tcpRig(t *testing.T) (address string, brokers net.Listener) {
	t.Helper()
	brokers, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) {
		o.Upstreams = []*url.URL{{Scheme: "tcp", Host: brokers.Addr().String()}}
		o.Dial = nil
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = r.server.Serve(ctx, l) })
	t.Cleanup(func() { stop(); _ = brokers.Close(); serving.Wait() })
	return l.Addr().String(), brokers
}

func TestASessionOverSockets(t *testing.T) {
	for _, v := range versions {
		address, brokers := tcpRig(t)
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}}
		ws, _, err := dialer.Dial("ws://"+address+"/mqtt", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		connect := connectOf(v, "alice")
		if err := ws.WriteMessage(websocket.BinaryMessage, connect.Append(nil, v)); err != nil {
			t.Fatal(err)
		}
		conn, err := brokers.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, c := range []interface{ SetReadDeadline(time.Time) error }{ws, conn} {
			_ = c.SetReadDeadline(time.Now().Add(patience))
		}
		broker, client := frames.NewReader(conn, v, 0), frames.NewReader(&messages{ws: ws}, v, 0)
		if p, err := broker.ReadPacket(); err != nil || p.Type() != frames.TypeConnect {
			t.Fatalf("broker got %v, %v", p.Type(), err)
		}
		_, _ = conn.Write(unhex(t, acceptedBy(v)))
		if p, err := client.ReadPacket(); err != nil || p.Type() != frames.TypeConnack {
			t.Fatalf("client got %v, %v", p.Type(), err)
		}

		const count = 3000
		payload := func(i int) string { return fmt.Sprint(i, strings.Repeat("x", i%700)) }
		var speaking sync.WaitGroup
		speaking.Go(func() {
			for i := range count {
				p := frames.Publish{TopicName: []byte("chat/status/alice"), Payload: []byte(payload(i))}
				if ws.WriteMessage(websocket.BinaryMessage, p.Append(nil, v)) != nil {
					return
				}
			}
		})
		speaking.Go(func() {
			for i := range count {
				p := frames.Publish{TopicName: []byte("chat/status/bob"), Payload: []byte(payload(i))}
				if _, err := conn.Write(p.Append(nil, v)); err != nil {
					return
				}
			}
		})
		speaking.Go(func() { wantPayloads(t, "broker", broker, v, count, payload) })
		wantPayloads(t, "client", client, v, count, payload)
		speaking.Wait()

		// Half a packet, and the end.
		_, _ = conn.Write([]byte{0x30})
		_ = conn.Close()
		for err == nil {
			_, err = client.ReadPacket()
		}
		if !websocket.IsCloseError(err, 1013) {
			t.Errorf("%s: client read ended with %v; want close 1013", v, err)
		}
	}
}

func wantPayloads(t *testing.T, who string, from *frames.Reader, v frames.Version, count int, payload func(int) string) {
	for i := range count {
		p, err := from.ReadPacket()
		if err != nil {
			t.Errorf("%s: %v", who, err)
			return
		}
		publish, err := frames.ParsePublish(p, v)
		if err != nil || string(publish.Payload) != payload(i) {
			t.Errorf("%s got %.20q, %v; want %.20q", who, publish.Payload, err, payload(i))
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
