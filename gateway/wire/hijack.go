package wire

import (
	"bufio"
	"net"
	"net/http"
)

// Hijacker hands the upgrader a read buffer of our own, whose reader can wait for a message before gorilla
// does: a read error that gorilla has seen stays.
type Hijacker struct {
	http.ResponseWriter
	reader *bufio.Reader
	taken  bool
}

// wsReadBytes is the size of the buffer. The socket below reads whole chunks; this need only hold a
// frame's header, and gorilla takes none that is smaller.
const wsReadBytes = 288

// Hijack implements http.Hijacker.
func (h *Hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	writer, ok := h.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, http.ErrNotSupported
	}
	c, rw, err := writer.Hijack()
	h.taken = err == nil
	if err != nil || rw.Reader.Buffered() > 0 { // which the upgrader refuses
		return c, rw, err
	}
	h.reader = bufio.NewReaderSize(c, wsReadBytes)
	rw.Reader = h.reader
	return c, rw, nil
}

// Taken reports whether the connection was handed over, to whatever end.
func (h *Hijacker) Taken() bool { return h.taken }

// Reader is what reads the connection, once it was handed over.
func (h *Hijacker) Reader() *bufio.Reader { return h.reader }
