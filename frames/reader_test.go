package frames

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// goldenStream is all golden packets of a version, one after the other.
func goldenStream(t *testing.T, v Version) (stream []byte, packets [][]byte) {
	t.Helper()
	for _, tt := range goldenPackets {
		if tt.v == v {
			raw := unhex(t, tt.hex)
			stream, packets = append(stream, raw...), append(packets, raw)
		}
	}
	return stream, packets
}

func wantPackets(t *testing.T, name string, r *Reader, packets [][]byte, end error) {
	t.Helper()
	for i, want := range packets {
		p, err := r.ReadPacket()
		if err != nil || !bytes.Equal(p.Raw, want) {
			t.Fatalf("%s: packet %d = % x, %v; want % x", name, i, p.Raw, err, want)
		}
	}
	for range 2 {
		if p, err := r.ReadPacket(); !errors.Is(err, end) || p.Raw != nil {
			t.Errorf("%s: at the end ReadPacket = % x, %v; want %v", name, p.Raw, err, end)
		}
	}
}

func TestReaderTakesPacketsCutAnywhere(t *testing.T) {
	for _, v := range []Version{V31, V311, V5} {
		stream, packets := goldenStream(t, v)
		wantPackets(t, "at once", NewReader(bytes.NewReader(stream), v, 0), packets, io.EOF)
		wantPackets(t, "byte by byte", NewReader(iotest.OneByteReader(bytes.NewReader(stream)), v, 0), packets, io.EOF)
		wantPackets(t, "in halves", NewReader(iotest.HalfReader(bytes.NewReader(stream)), v, 0), packets, io.EOF)
		wantPackets(t, "end with the last bytes", NewReader(iotest.DataErrReader(bytes.NewReader(stream)), v, 0), packets, io.EOF)
		for n := range stream {
			src := io.MultiReader(bytes.NewReader(stream[:n]), bytes.NewReader(stream[n:]))
			wantPackets(t, "in two", NewReader(src, v, 0), packets, io.EOF)
		}
	}
}

func TestReaderTellsAnEndInsideAPacket(t *testing.T) {
	raw := unhex(t, "32 07 0003'a/b' 000a")
	for n := 1; n < len(raw); n++ {
		r := NewReader(bytes.NewReader(raw[:n]), V311, 0)
		wantPackets(t, "cut", r, nil, io.ErrUnexpectedEOF)
		if r.Buffered() != n {
			t.Errorf("Buffered = %d; want %d", r.Buffered(), n)
		}
	}
	broken := errors.New("connection reset")
	src := io.MultiReader(bytes.NewReader(raw), iotest.ErrReader(broken))
	wantPackets(t, "broken", NewReader(src, V311, 0), [][]byte{raw}, broken)
}

func TestReaderRefusesAPacketBeforeItsBody(t *testing.T) {
	// A body would be read from the reader that fails the test.
	src := io.MultiReader(strings.NewReader("\x30\x80\x80\x01"), iotest.ErrReader(errors.New("read beyond the fixed header")))
	_, err := NewReader(src, V311, 16_384).ReadPacket()
	if e, isError := errors.AsType[*Error](err); !isError || e.Code != PacketTooLarge || e.Type != TypePublish {
		t.Errorf("ReadPacket = %v; want 0x95", err)
	}
}

func TestReaderGoesOnInTheVersionOfConnect(t *testing.T) {
	r := NewReader(bytes.NewReader(unhex(t, "10 0e 0004'MQTT' 05 02 000a 00 0001'a' f0 00")), V311, 0)
	p, err := r.ReadPacket()
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseConnect(p)
	if err != nil {
		t.Fatal(err)
	}
	r.SetVersion(m.Version)
	if p, err := r.ReadPacket(); err != nil || p.Type() != TypeAuth {
		t.Errorf("ReadPacket = %v, %v; want AUTH", p.Type(), err)
	}
}

func TestReaderGivesUpOnASourceThatReadsNothing(t *testing.T) {
	_, err := NewReader(silent{}, V311, 0).ReadPacket()
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("ReadPacket = %v; want io.ErrNoProgress", err)
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }
