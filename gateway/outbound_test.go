package gateway

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
		o := outbound{write: k.write}
		inbox := make([]byte, 200_000)
		for i := range inbox {
			inbox[i] = byte(random.Uint32())
		}
		var want []byte
		rest := inbox
		for len(rest) > 0 {
			n := min(len(rest), 1+random.IntN(100))
			if random.IntN(50) == 0 {
				n = min(len(rest), 1+random.IntN(3*batchBytes))
			}
			packet := rest[:n:n]
			rest = rest[n:]
			var err error
			switch random.IntN(4) {
			case 0:
				err = o.addBytes(packet)
			default:
				err = o.forward(packet)
			}
			want = append(want, packet...)
			if random.IntN(10) == 0 {
				err = errors.Join(err, o.settle())
			}
			if random.IntN(20) == 0 {
				err = errors.Join(err, o.flush())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := o.close([]byte("last")); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Join(k.writes, nil); !bytes.Equal(got, append(want, "last"...)) {
			t.Fatalf("%d bytes in %d writes are not what was added, %d", len(got), len(k.writes), len(want)+4)
		}
	}
}

func TestOutboundPutsSmallPacketsIntoOneWrite(t *testing.T) {
	var k sink
	o := outbound{write: k.write}
	for range 100 {
		_ = o.forward([]byte("forwarded"))
		_ = o.addBytes([]byte("added"))
	}
	if len(k.writes) > 0 {
		t.Errorf("%d writes before flush; want none", len(k.writes))
	}
	_ = o.flush()
	_ = o.flush()
	if len(k.writes) != 1 || len(k.writes[0]) != 1400 {
		t.Errorf("%d writes; want one of 1400 bytes", len(k.writes))
	}
}

func TestOutboundStaysFailed(t *testing.T) {
	broken := errors.New("broken")
	k := sink{err: broken}
	o := outbound{write: k.write}
	if err := o.addBytes([]byte("x")); err != nil {
		t.Errorf("addBytes = %v; want nil: nothing was written yet", err)
	}
	if err := o.flush(); !errors.Is(err, broken) {
		t.Errorf("flush = %v; want %v", err, broken)
	}
	k.err = nil
	if err := errors.Join(o.addBytes([]byte("y")), o.flush(), o.close([]byte("z"))); !errors.Is(err, broken) || len(k.writes) > 0 {
		t.Errorf("after a failed write: %v, %d writes; want %v, none", err, len(k.writes), broken)
	}
}

func TestOutboundSaysNothingAfterTheFarewell(t *testing.T) {
	var k sink
	o := outbound{write: k.write}
	_ = o.addBytes([]byte("a"))
	_ = o.close([]byte("b"))
	if err := o.addBytes([]byte("c")); !errors.Is(err, errClosed) {
		t.Errorf("addBytes after close = %v; want %v", err, errClosed)
	}
	_ = o.forward([]byte("d"))
	_ = o.flush()
	_ = o.close([]byte("e"))
	if got := string(bytes.Join(k.writes, nil)); got != "ab" {
		t.Errorf("written = %q; want \"ab\"", got)
	}
}
