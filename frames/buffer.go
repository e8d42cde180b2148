package frames

import (
	"math/bits"
	"sync"
)

// Storage comes in powers of two from 512 bytes. Above 16 MiB it is not pooled:
// packets like that are rare, and the collector takes it back sooner.
const (
	minStorageBits = 9
	maxPooledBits  = 24
)

// storage is pooled by pointer, so that putting it back allocates nothing.
type storage struct{ bytes []byte }

var storagePools [maxPooledBits - minStorageBits + 1]sync.Pool

// storageBits returns the size class for n bytes: the power of two that holds them.
func storageBits(n int) int { return max(minStorageBits, bits.Len(uint(max(n, 1)-1))) }

func takeStorage(n int) *storage {
	class := storageBits(n)
	if class <= maxPooledBits {
		if s, ok := storagePools[class-minStorageBits].Get().(*storage); ok {
			return s
		}
	}
	return &storage{bytes: make([]byte, 1<<class)}
}

func (s *storage) giveBack() {
	if class := storageBits(len(s.bytes)); class <= maxPooledBits {
		storagePools[class-minStorageBits].Put(s)
	}
}

// Buffer holds a stream's bytes between a read and the packets cut from them, in
// place. The zero value is ready and holds no storage; Space takes it from a shared
// pool, Release gives it back.
//
// Storage grows with the bytes that arrived, never with what a fixed header
// announces: to make the gateway hold n bytes, a peer must send about n/2. An
// unread rest is moved at most once for each time the storage runs full, so
// that reading costs linear time, whatever the sizes of reads and packets.
//
// A Buffer has one owner at a time.
type Buffer struct {
	store *storage
	r, w  int // store.bytes[r:w] is buffered
}

// Next cuts the next whole packet, as [Cut] does. Its bytes stay valid until the
// next Space or Release. After an error the Buffer stands where it stood.
func (b *Buffer) Next(v Version, maxPacketBytes int) (Packet, bool, error) {
	if b.r == b.w {
		return Packet{}, false, nil
	}
	p, ok, err := Cut(b.store.bytes[b.r:b.w], v, maxPacketBytes)
	b.r += len(p.Raw)
	return p, ok, err
}

// Space returns a free tail of at least min bytes (and at least one) to read into.
// What is buffered may move: packets that Next returned are no longer valid.
func (b *Buffer) Space(min int) []byte {
	min = max(min, 1)
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
	if b.store == nil || len(b.store.bytes)-b.w < min {
		b.makeRoom(min)
	}
	return b.store.bytes[b.w:]
}

// makeRoom moves what is buffered to the front, of larger storage when it must.
func (b *Buffer) makeRoom(min int) {
	live := b.w - b.r
	old := b.store
	if old == nil || len(old.bytes)-live < min {
		b.store = takeStorage(live + min)
	}
	if old != nil {
		copy(b.store.bytes, old.bytes[b.r:b.w])
		if old != b.store {
			old.giveBack()
		}
	}
	b.r, b.w = 0, live
}

// Filled says that n bytes of the last Space were written.
func (b *Buffer) Filled(n int) {
	if n == 0 {
		return
	}
	if n < 0 || b.store == nil || n > len(b.store.bytes)-b.w {
		panic("frames: BUG: Filled beyond Space")
	}
	b.w += n
}

// Len returns how many bytes have not been cut.
func (b *Buffer) Len() int { return b.w - b.r }

// NextType returns the type of the packet that Next is to cut, as soon as its first byte
// is there; 0 before.
func (b *Buffer) NextType() Type { return Packet{Raw: b.Peek()}.Type() }

// Peek returns the bytes that have not been cut, in place, valid until the next
// Space or Release.
func (b *Buffer) Peek() []byte {
	if b.store == nil {
		return nil
	}
	return b.store.bytes[b.r:b.w:b.w]
}

// Skip discards up to n buffered bytes and returns how many it did: a packet that is
// too large is passed over as it arrives, without ever being held whole.
func (b *Buffer) Skip(n int) int {
	n = min(max(n, 0), b.Len())
	b.r += n
	return n
}

// Shrink moves what is buffered to storage that is no larger than it must be, or gives it back. Packets that Next
// returned are no longer valid.
func (b *Buffer) Shrink() {
	live := b.Peek()
	if b.store == nil || len(live) > 0 && storageBits(len(live)) == storageBits(len(b.store.bytes)) {
		return
	}
	old := b.store
	*b = Buffer{}
	if len(live) > 0 {
		b.Filled(copy(b.Space(len(live)), live))
	}
	old.giveBack()
}

// Release gives the storage back to the pool if nothing is buffered, and does
// nothing otherwise. Packets that Next returned are no longer valid.
func (b *Buffer) Release() {
	if b.store == nil || b.r != b.w {
		return
	}
	b.store.giveBack()
	*b = Buffer{}
}
