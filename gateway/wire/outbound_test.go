package wire

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// sink keeps what an outbound writes.
type sink struct {
	writes [][]byte
	err    error
}

func (k *sink) write(p []byte) error {
	if k.err != nil {
		return k.err
	}
	k.writes = append(k.writes, bytes.Clone(p))
	return nil
}

func TestOutboundKeepsTheOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var k sink
		o := Outbound{Write: k.write}
		inbox := make([]byte, 200_000)
		for i := range inbox {
			inbox[i] = byte(random.Uint32())
		}
		var want []byte
		rest := inbox
		for len(rest) > 0 {
			n := min(len(rest), 1+random.IntN(100))
			if random.IntN(50) == 0 {
				n = min(len(rest), 1+random.IntN(3*BatchBytes))
			}
			packet := rest[:n:n]
			rest = rest[n:]
			var err error
			switch random.IntN(4) {
			case 0:
				err = o.Add(packet)
			default:
				err = o.Forward(packet)
			}
			want = append(want, packet...)
			if random.IntN(10) == 0 {
				err = errors.Join(err, o.TakeOver())
			}
			if random.IntN(20) == 0 {
				err = errors.Join(err, o.Flush())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := o.Close([]byte("last")); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Join(k.writes, nil); !bytes.Equal(got, append(want, "last"...)) {
			t.Fatalf("%d bytes in %d writes are not what was added, %d", len(got), len(k.writes), len(want)+4)
		}
	}
}

func TestOutboundPutsSmallPacketsIntoOneWrite(t *testing.T) {
	var k sink
	o := Outbound{Write: k.write}
	for range 100 {
		_ = o.Forward([]byte("forwarded"))
		_ = o.Add([]byte("added"))
	}
	if len(k.writes) > 0 {
		t.Errorf("%d writes before flush; want none", len(k.writes))
	}
	_ = o.Flush()
	_ = o.Flush()
	if len(k.writes) != 1 || len(k.writes[0]) != 1400 {
		t.Errorf("%d writes; want one of 1400 bytes", len(k.writes))
	}
}

func TestOutboundStaysFailed(t *testing.T) {
	broken := errors.New("broken")
	k := sink{err: broken}
	o := Outbound{Write: k.write}
	if err := o.Add([]byte("x")); err != nil {
		t.Errorf("addBytes = %v; want nil: nothing was written yet", err)
	}
	if err := o.Flush(); !errors.Is(err, broken) {
		t.Errorf("flush = %v; want %v", err, broken)
	}
	k.err = nil
	if err := errors.Join(o.Add([]byte("y")), o.Flush(), o.Close([]byte("z"))); !errors.Is(err, broken) || len(k.writes) > 0 {
		t.Errorf("after a failed write: %v, %d writes; want %v, none", err, len(k.writes), broken)
	}
}

func TestOutboundSaysNothingAfterTheFarewell(t *testing.T) {
	var k sink
	o := Outbound{Write: k.write}
	_ = o.Add([]byte("a"))
	_ = o.Close([]byte("b"))
	if err := o.Add([]byte("c")); !errors.Is(err, errClosed) {
		t.Errorf("addBytes after close = %v; want %v", err, errClosed)
	}
	_ = o.Forward([]byte("d"))
	_ = o.Flush()
	_ = o.Close([]byte("e"))
	if got := string(bytes.Join(k.writes, nil)); got != "ab" {
		t.Errorf("written = %q; want \"ab\"", got)
	}
}
