package frames

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
)

// feed writes data into b, as one read of at least min free bytes would.
func feed(b *Buffer, data []byte, min int) (read int) {
	n := copy(b.Space(min), data)
	b.Filled(n)
	return n
}

func TestBufferReturnsWhatArrivedInWhateverPieces(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var stream []byte
		var want [][]byte
		for range 50 {
			m := Publish{TopicName: []byte("a/b"), Payload: make([]byte, rng.IntN(1<<rng.IntN(14)))}
			raw := m.Append(nil, V311)
			want, stream = append(want, raw), append(stream, raw...)
		}
		var b Buffer
		for len(stream) > 0 || b.Len() > 0 {
			if len(stream) > 0 {
				chunk := stream[:1+rng.IntN(min(len(stream), 1<<rng.IntN(15)))]
				stream = stream[feed(&b, chunk, 1+rng.IntN(5000)):]
			}
			for {
				p, ok, err := b.Next(V311, 0)
				if err != nil {
					t.Fatalf("Next = %v", err)
				}
				if !ok {
					break
				}
				if !bytes.Equal(p.Raw, want[0]) {
					t.Fatalf("Next = % x; want % x", p.Raw, want[0])
				}
				want = want[1:]
			}
			b.Release() // at any time
		}
		if len(want) > 0 {
			t.Fatalf("%d packets missing", len(want))
		}
		if b.store != nil {
			t.Fatal("storage kept though nothing is buffered")
		}
	}
}

func TestBufferGrowsWithWhatArrivedNotWithWhatWasAnnounced(t *testing.T) {
	var b Buffer
	const readSize = 1024
	feed(&b, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}, readSize) // 256 MiB
	arrived := b.Len()
	chunk := make([]byte, 700)
	for arrived < 3<<20 {
		if _, ok, err := b.Next(V311, 0); ok || err != nil {
			t.Fatalf("Next = %v, %v; want to wait", ok, err)
		}
		arrived += feed(&b, chunk, readSize)
		if held := len(b.store.bytes); held > 2*(arrived+readSize) {
			t.Fatalf("%d bytes of storage for %d that arrived", held, arrived)
		}
	}
	if b.Len() != arrived || !bytes.HasPrefix(b.Peek(), []byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 0}) {
		t.Errorf("%d bytes buffered; want %d", b.Len(), arrived)
	}
	// The oversize packet is passed over as it arrives.
	if n := b.Skip(arrived + 1); n != arrived || b.Len() != 0 {
		t.Errorf("Skip = %d, %d left; want %d, 0", n, b.Len(), arrived)
	}
}

// TestBufferMovesOnlyARest reads many small packets and looks at where bytes lie: what is
// whole never moves, a rest only when there is no room behind it.
func TestBufferMovesOnlyARest(t *testing.T) {
	raw := smallPublish(V311) // 64 bytes
	stream := bytes.Repeat(raw, 2000)
	var b Buffer
	moved := 0
	for rest := stream; len(rest) > 0; {
		left, tail := b.Len(), b.Peek()
		free := 0
		if b.store != nil {
			free = len(b.store.bytes) - b.w
		}
		space := b.Space(100)
		if left > 0 && &b.Peek()[0] != &tail[0] {
			moved += left
			if free >= 100 {
				t.Fatalf("moved %d bytes though %d behind them were free", left, free)
			}
		}
		n := copy(space, rest[:min(len(rest), 100)])
		b.Filled(n)
		rest = rest[n:]
		for {
			if _, ok, err := b.Next(V311, 0); err != nil {
				t.Fatal(err)
			} else if !ok {
				break
			}
		}
		if b.Len() >= len(raw) {
			t.Fatalf("%d bytes left after Next; want less than a packet", b.Len())
		}
	}
	if moved > len(stream)/4 {
		t.Errorf("moved %d bytes of %d", moved, len(stream))
	}
}

// Shrink leaves what is buffered in the smallest storage that holds it.
func TestBufferShrinks(t *testing.T) {
	var b Buffer
	b.Shrink()
	for _, n := range []int{0, 2, 500, 514, 40_000} {
		data := bytes.Repeat([]byte{0xc0, 0x00}, n/2)
		b.Filled(copy(b.Space(64<<10), append([]byte{0xc0, 0x00}, data...)))
		if _, ok, err := b.Next(V311, 0); !ok || err != nil {
			t.Fatal(err)
		}
		b.Shrink()
		if !bytes.Equal(b.Peek(), data) {
			t.Fatalf("%d bytes are left of %d, or others", b.Len(), n)
		}
		switch {
		case n == 0 && b.store != nil:
			t.Error("an empty Buffer has storage")
		case n > 0 && len(b.store.bytes) != 1<<storageBits(len(data)):
			t.Errorf("%d bytes have storage of %d", n, len(b.store.bytes))
		}
		b.Skip(n)
	}
}

func TestBufferStandsStillAtAnError(t *testing.T) {
	var b Buffer
	feed(&b, []byte{0xc0, 0x00, 0x00, 0x01}, 1)
	if b.NextType() != TypePingreq {
		t.Errorf("NextType = %v; want PINGREQ", b.NextType())
	}
	if p, ok, err := b.Next(V311, 0); !ok || err != nil || p.Type() != TypePingreq {
		t.Fatalf("Next = %v, %v, %v; want PINGREQ", p.Type(), ok, err)
	}
	if b.NextType() != 0 {
		t.Errorf("NextType = %v; want the reserved type 0", b.NextType())
	}
	for range 2 {
		_, ok, err := b.Next(V311, 0)
		if _, isError := errors.AsType[*Error](err); ok || !isError {
			t.Fatalf("Next = %v, %v; want an *Error", ok, err)
		}
		if !bytes.Equal(b.Peek(), []byte{0x00, 0x01}) {
			t.Fatalf("Peek = % x; want 00 01", b.Peek())
		}
	}
}

func TestZeroBufferIsReady(t *testing.T) {
	var b Buffer
	if p, ok, err := b.Next(V5, 10); ok || err != nil || p.Type() != 0 || p.Flags() != 0 {
		t.Errorf("Next = %v, %v; want nothing", ok, err)
	}
	if b.Len() != 0 || b.Peek() != nil || b.NextType() != 0 || b.Skip(5) != 0 || b.Skip(-1) != 0 {
		t.Error("an empty Buffer holds something")
	}
	b.Filled(0)
	b.Release()
	if space := b.Space(0); len(space) == 0 {
		t.Error("Space(0) has no room")
	}
}

// TestBuffersShareNoStorage fills Buffers at the same time, each with a byte of its own.
func TestBuffersShareNoStorage(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			raw := (&Publish{TopicName: []byte("a"), Payload: bytes.Repeat([]byte{byte(i)}, 3000)}).Append(nil, V311)
			for range 300 {
				var b Buffer
				for rest := raw; len(rest) > 0; {
					rest = rest[feed(&b, rest[:min(len(rest), 700)], 100):]
				}
				if p, ok, err := b.Next(V311, 0); !ok || err != nil || !bytes.Equal(p.Raw, raw) {
					t.Errorf("Buffer %d holds what another was given", i)
					return
				}
				b.Release()
			}
		})
	}
	wg.Wait()
}

func TestFilledBeyondSpaceIsABug(t *testing.T) {
	for _, call := range []func(*Buffer){
		func(b *Buffer) { b.Filled(1) },
		func(b *Buffer) { b.Filled(len(b.Space(10)) + 1) },
		func(b *Buffer) { b.Space(10); b.Filled(-1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("Filled beyond Space did not panic")
				}
			}()
			call(&Buffer{})
		}()
	}
}
