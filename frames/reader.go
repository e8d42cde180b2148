package frames

import "io"

// readBytes is the least free space that a Reader offers to one Read.
const readBytes = 2048

// maxEmptyReads bounds reads that return neither bytes nor an error.
const maxEmptyReads = 100

// Reader reads Control Packets from a stream through a [Buffer]. It reads ahead,
// so the stream is the Reader's alone.
type Reader struct {
	src            io.Reader
	version        Version
	maxPacketBytes int
	buf            Buffer
	err            error // of src, reported after what came before it
}

// NewReader returns a Reader of version v that refuses packets over maxPacketBytes
// (0 or less: over the protocol's limit).
func NewReader(src io.Reader, v Version, maxPacketBytes int) *Reader {
	return &Reader{src: src, version: v, maxPacketBytes: maxPacketBytes}
}

// SetVersion changes the version for the packets that follow, once CONNECT told it.
func (r *Reader) SetVersion(v Version) { r.version = v }

// Buffered returns how many bytes were read ahead of the last packet.
func (r *Reader) Buffered() int { return r.buf.Len() }

// ReadPacket returns the next Control Packet. The packet and every slice in it are
// valid until the next call.
//
// A packet over the maximum size is refused from its fixed header, before its body
// is read (0x95 Packet too large). io.EOF means that the stream ended between two
// packets, io.ErrUnexpectedEOF inside one. WebSocket message borders mean nothing
// here [MQTT-6.0.0-2]. An *Error repeats on every further call.
func (r *Reader) ReadPacket() (Packet, error) {
	for empty := 0; ; {
		p, ok, err := r.buf.Next(r.version, r.maxPacketBytes)
		if ok || err != nil {
			return p, err
		}
		if r.err != nil {
			if r.err == io.EOF && r.buf.Len() > 0 {
				return Packet{}, io.ErrUnexpectedEOF
			}
			return Packet{}, r.err
		}
		n, err := r.src.Read(r.buf.Space(readBytes))
		r.buf.Filled(n)
		r.err = err
		if n > 0 {
			empty = 0
		} else if empty++; err == nil && empty == maxEmptyReads {
			return Packet{}, io.ErrNoProgress
		}
	}
}
