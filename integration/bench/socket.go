//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// patience bounds every wait for an answer.
const patience = 60 * time.Second

// readBytes is what one read takes at most.
const readBytes = 32 << 10

// socket is a byte stream to a target, over a WebSocket or not. Gorilla's would do; this one puts many
// messages into one write and takes many out of one read, which leaves more of the machine to the target.
type socket struct {
	net.Conn
	websocket bool
	out       []byte // messages not written yet
	in        unframer
}

// maskKey masks what clients send [RFC 6455 section 5.3]. It should be unpredictable; here it only has to cost the server what any other would.
var maskKey = [4]byte{0x5a, 0xc3, 0x17, 0x88}

// dial connects to a target. The WebSocket handshake is part of it.
func dial(t *target) (*socket, error) {
	conn, err := (&net.Dialer{Timeout: patience}).Dial("tcp", t.address)
	if err != nil {
		return nil, err
	}
	if t.secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}) // its own certificate of a minute ago
	}
	s := &socket{Conn: conn, websocket: t.websocket}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if t.websocket {
		if err := s.upgrade(t); err != nil {
			return nil, errors.Join(fmt.Errorf("upgrade at %s: %w", t.name, err), conn.Close())
		}
	}
	return s, conn.SetDeadline(time.Time{})
}

func (s *socket) upgrade(t *target) error {
	_, err := fmt.Fprintf(s.Conn, "GET /mqtt HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", t.address)
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(s.Conn, 1024)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return errors.New(response.Status)
	}
	if r.Buffered() > 0 { // nobody speaks before CONNECT
		return errors.New("bytes after the handshake")
	}
	s.in.src = s.Conn
	return nil
}

// Read returns bytes of the MQTT stream.
func (s *socket) Read(p []byte) (int, error) {
	if s.websocket {
		return s.in.Read(p)
	}
	return s.Conn.Read(p)
}

// add queues one Control Packet, a WebSocket message of its own.
func (s *socket) add(packet []byte) {
	if !s.websocket {
		s.out = append(s.out, packet...)
		return
	}
	switch n := len(packet); {
	case n < 126:
		s.out = append(s.out, 0x82, 0x80|byte(n))
	case n < 1<<16:
		s.out = append(s.out, 0x82, 0x80|126, byte(n>>8), byte(n))
	default:
		s.out = append(s.out, 0x82, 0x80|127)
		s.out = binary.BigEndian.AppendUint64(s.out, uint64(n))
	}
	s.out = append(s.out, maskKey[:]...)
	start := len(s.out)
	s.out = append(s.out, packet...)
	mask(s.out[start:])
}

// mask applies maskKey to a message, eight bytes at a time.
func mask(b []byte) {
	key := uint64(binary.LittleEndian.Uint32(maskKey[:]))
	key |= key << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^key)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= maskKey[i&3]
	}
}

// flush writes what is queued, all at once.
func (s *socket) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.Conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

// send writes one Control Packet now.
func (s *socket) send(packet []byte) error {
	s.add(packet)
	return s.flush()
}

// unframer strips the frames off what a WebSocket server sends. Its buffer is taken when the first bytes are read.
type unframer struct {
	src    io.Reader
	buffer []byte // storage
	rest   []byte // of buffer, not looked at yet
	left   int    // bytes of the current frame still to come
}

// Read returns the payloads of as many frames as one read of the source brings.
func (u *unframer) Read(p []byte) (n int, err error) {
	for n == 0 {
		if err := u.fill(); err != nil {
			return 0, err
		}
		for len(u.rest) > 0 && n < len(p) {
			if u.left == 0 {
				whole, err := u.header()
				if err != nil {
					return n, err
				}
				if !whole {
					break
				}
				continue
			}
			k := copy(p[n:], u.rest[:min(u.left, len(u.rest))])
			n, u.left, u.rest = n+k, u.left-k, u.rest[k:]
		}
	}
	return n, nil
}

// fill reads more when a further look at what there is would not help.
func (u *unframer) fill() error {
	if len(u.rest) > 0 && (u.left > 0 || headerBytes(u.rest) <= len(u.rest)) {
		return nil
	}
	if u.buffer == nil {
		u.buffer = make([]byte, readBytes)
	}
	kept := copy(u.buffer, u.rest)
	n, err := u.src.Read(u.buffer[kept:])
	u.rest = u.buffer[:kept+n]
	if n > 0 {
		return nil
	}
	return err
}

// rest gives the buffers of a socket up that will be idle for long.
func (s *socket) rest() {
	s.out = nil
	if len(s.in.rest) == 0 {
		s.in.buffer, s.in.rest = nil, nil
	}
}

// headerBytes returns the length of the frame header that b begins with, as far as it can be told.
func headerBytes(b []byte) int {
	if len(b) < 2 {
		return 2
	}
	switch b[1] & 0x7f {
	case 126:
		return 4
	case 127:
		return 10
	}
	return 2
}

// header takes a frame header. No target sends a Ping as long as a load takes.
func (u *unframer) header() (whole bool, err error) {
	size := headerBytes(u.rest)
	if len(u.rest) < size {
		return false, nil
	}
	length := int(u.rest[1] & 0x7f)
	switch length {
	case 126:
		length = int(binary.BigEndian.Uint16(u.rest[2:]))
	case 127:
		length = int(binary.BigEndian.Uint64(u.rest[2:]))
	}
	switch opcode := u.rest[0] & 0x0f; opcode {
	case 0, 2:
		u.rest, u.left = u.rest[size:], length
	case 8:
		if length >= 2 && len(u.rest) >= size+2 {
			return false, fmt.Errorf("closed with %d", binary.BigEndian.Uint16(u.rest[size:]))
		}
		return false, io.EOF
	default:
		return false, fmt.Errorf("a frame of opcode %d was not expected", opcode)
	}
	return true, nil
}
