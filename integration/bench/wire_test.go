//go:build linux

package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"topicgate/frames"
)

func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestUnframerStripsFramesHoweverTheyAreCut(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 300)
	huge := bytes.Repeat([]byte("y"), 70_000)
	stream := fromHex(t, "82 02 c0 00 02 01 d0 80 01 00") // a message; one in two fragments
	stream = append(append(stream, 0x82, 126, 1, 44), long...)
	stream = append(append(stream, 0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70), huge...)
	want := append(append(fromHex(t, "c0 00 d0 00"), long...), huge...)
	for name, src := range map[string]io.Reader{
		"whole":   bytes.NewReader(stream),
		"by byte": iotest.OneByteReader(bytes.NewReader(stream)),
		"halves":  iotest.HalfReader(bytes.NewReader(stream)),
	} {
		got, err := io.ReadAll(&unframer{src: src})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(got), err, len(want))
		}
	}
}

func TestUnframerTellsWhyTheServerClosed(t *testing.T) {
	_, err := io.ReadAll(&unframer{src: bytes.NewReader(fromHex(t, "82 01 c0 88 02 11 31"))})
	if err == nil || !strings.Contains(err.Error(), "4401") {
		t.Errorf("error %v; want one that names 4401", err)
	}
	if _, err := io.ReadAll(&unframer{src: bytes.NewReader(fromHex(t, "81 01 61"))}); err == nil {
		t.Error("a text message was taken")
	}
}

// written collects what a socket writes.
type written struct {
	net.Conn
	bytes.Buffer
}

func (w *written) Write(p []byte) (int, error)      { return w.Buffer.Write(p) }
func (w *written) Read([]byte) (int, error)         { return 0, errors.ErrUnsupported }
func (w *written) Close() error                     { return nil }
func (w *written) SetDeadline(time.Time) error      { return nil }
func (w *written) SetReadDeadline(time.Time) error  { return nil }
func (w *written) SetWriteDeadline(time.Time) error { return nil }

func TestPacketsAreMaskedMessagesOfTheirOwnInOneWrite(t *testing.T) {
	w := &written{}
	s := &socket{Conn: w, websocket: true}
	s.add(fromHex(t, "c0 00"))
	s.add(bytes.Repeat([]byte{0xff}, 200))
	if w.Len() > 0 {
		t.Errorf("%d bytes were written before flush", w.Len())
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	got := w.Bytes()
	if want := fromHex(t, "82 82 5a c3 17 88 9a c3 82 fe 00 c8 5a c3 17 88 a5 3c e8 77"); !bytes.HasPrefix(got, want) || len(got) != 8+8+200 {
		t.Errorf("wrote % x ..., %d bytes; want % x ..., 216", got[:20], len(got), want)
	}
	mask(got[16:])
	if !bytes.Equal(got[16:], bytes.Repeat([]byte{0xff}, 200)) {
		t.Error("masking twice does not give the payload back")
	}
}

func TestLettersAreNumberedPublishes(t *testing.T) {
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		for _, qos := range []frames.QoS{0, 1} {
			l := newLetter(v, "chat/room/a/talk-1", qos, 64)
			for _, n := range []uint64{0, 1, 65534, 65535, 1 << 40} {
				p, ok, err := frames.Cut(l.number(n, 42*time.Microsecond), v, maxPacketBytes)
				if err != nil || !ok {
					t.Fatalf("%v QoS %d: Cut = %v, %v", v, qos, ok, err)
				}
				publish, err := frames.ParsePublish(p, v)
				if err != nil {
					t.Fatalf("%v QoS %d number %d: %v", v, qos, n, err)
				}
				got, sent, ok := readStamp(publish.Payload)
				if !ok || got != n || sent != 42*time.Microsecond || publish.QoS != qos || len(publish.Payload) != 64 {
					t.Errorf("%v QoS %d: read %d, %v of %+v; want %d, 42µs", v, qos, got, sent, publish, n)
				}
			}
		}
	}
	if _, _, ok := readStamp([]byte("short")); ok {
		t.Error("a short payload has a number")
	}
}
