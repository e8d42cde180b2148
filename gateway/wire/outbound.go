package wire

import (
	"errors"
	"sync"

	"topicgate/frames"
)

// BatchBytes is how much is put together for one write at most. A packet that is longer is written
// by itself.
const BatchBytes = 32 << 10

var batchPool = sync.Pool{New: func() any { b := make([]byte, 0, BatchBytes); return &b }}

// errClosed is returned to who writes after the farewell: there was an end before, for another reason.
var errClosed = errors.New("nothing is written after the farewell")

// Outbound collects whole Control Packets for one peer and writes many of them at once. Any
// goroutine of the session may add packets; their order is the order of the calls. A write blocks
// while the peer does not read, until the write timeout, and everybody who adds waits with it:
// that is the back-pressure.
//
// A packet that is forwarded unchanged is not copied until another one follows it or the reader, by
// TakeOver, announces that its buffer moves: run is a view of it. So one that is alone, or long, never is.
type Outbound struct {
	Write func([]byte) error // one write of whole packets to the peer

	mu     sync.Mutex
	run    []byte  // a forwarded packet in the reader's buffer; after those in batch
	batch  *[]byte // from batchPool; nil: empty
	err    error   // of the first write that failed; nothing is written after it
	closed bool    // no more packets: the farewell has been said
}

// Forward adds raw, a whole packet that stays valid until TakeOver or flush.
func (o *Outbound) Forward(raw []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.run) > 0 {
		if err := o.takeOverLocked(); err != nil {
			return err
		}
	}
	o.run = raw
	return nil
}

// TakeOver copies what is still a view of the reader's buffer.
func (o *Outbound) TakeOver() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.takeOverLocked()
}

func (o *Outbound) takeOverLocked() error {
	if len(o.run) == 0 {
		return o.err
	}
	if o.room(len(o.run)) {
		*o.batch = append(*o.batch, o.run...)
		o.run = nil
		return nil
	}
	return o.flushLocked()
}

// room reports whether n more bytes fit into the batch, and sees to it that there is one.
func (o *Outbound) room(n int) bool {
	if n > BatchBytes {
		return false
	}
	if o.batch == nil {
		o.batch = batchPool.Get().(*[]byte)
	}
	return len(*o.batch)+n <= BatchBytes
}

// encode adds one packet to the end of the batch. appendTo appends it to dst, which has room for
// size bytes; it must not keep dst.
func (o *Outbound) encode(size int, appendTo func(dst []byte) []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.takeOverLocked(); err != nil {
		return err
	}
	if o.closed {
		return errClosed
	}
	if !o.room(size) {
		if err := o.flushLocked(); err != nil {
			return err
		}
		if !o.room(size) { // longer than a batch
			return o.writeLocked(appendTo(make([]byte, 0, size)))
		}
	}
	*o.batch = appendTo(*o.batch)
	return nil
}

// Add adds a copy of whole packets.
func (o *Outbound) Add(raw []byte) error {
	return o.encode(len(raw), func(dst []byte) []byte { return append(dst, raw...) })
}

// Publish adds p encoded for version v; it does not allocate.
func (o *Outbound) Publish(p *frames.Publish, v frames.Version, size int) error {
	return o.encode(size, func(dst []byte) []byte { return p.Append(dst, v) })
}

// Flush writes all that was added.
func (o *Outbound) Flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.flushLocked()
}

func (o *Outbound) flushLocked() error {
	if o.batch != nil {
		batch := o.batch
		o.batch = nil
		err := o.err
		if len(o.run) > 0 && len(*batch)+len(o.run) <= BatchBytes {
			*batch = append(*batch, o.run...)
			o.run = nil
		}
		if len(*batch) > 0 {
			err = o.writeLocked(*batch)
		}
		*batch = (*batch)[:0]
		batchPool.Put(batch)
		if err != nil {
			o.run = nil
			return err
		}
	}
	if len(o.run) > 0 {
		run := o.run
		o.run = nil
		return o.writeLocked(run)
	}
	return o.err
}

func (o *Outbound) writeLocked(p []byte) error {
	if o.err != nil {
		return o.err
	}
	if o.closed {
		return errClosed
	}
	o.err = o.Write(p)
	return o.err
}

// Close writes what was added and lets nothing follow but last, if any.
func (o *Outbound) Close(last []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return o.err
	}
	err := o.flushLocked()
	if err == nil && len(last) > 0 {
		err = o.writeLocked(last)
	}
	o.closed = true
	if o.batch != nil {
		batchPool.Put(o.batch)
		o.batch = nil
	}
	return err
}
