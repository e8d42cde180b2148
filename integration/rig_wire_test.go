package integration

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"topicgate/frames"

	"github.com/gorilla/websocket"
)

// maxTestPacket bounds what a wire reads in one packet.
const maxTestPacket = 64 << 20

// wire is one side of an MQTT connection of which a test says every byte: over a WebSocket a client of the
// gateway, over TCP a client of the broker or, accepted by a double, the broker itself.
//
// Every read has a deadline and ends the test when it passes. One goroutine at a time.
type wire struct {
	t       testing.TB
	name    string // in messages
	version frames.Version
	conn    net.Conn        // the TCP connection
	ws      *websocket.Conn // nil over plain TCP

	pending [][]byte        // packets of the last WebSocket message, not yet read
	inbox   []frames.Packet // messages that came before an acknowledgement, for receive
	reader  *frames.Reader
	nextID  uint16
}

// dialOptions say how a WebSocket is opened.
type dialOptions struct {
	path        string // default /mqtt
	subprotocol string // default mqtt; "none": no such header
	header      http.Header
	tls         *tls.Config
	readBuffer  int // of the socket; 0: the system's
}

// upgrade opens a WebSocket to the gateway; the response is that of the handshake, also of a refused one.
func (g *gateway) upgrade(t testing.TB, o dialOptions) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: patience, TLSClientConfig: o.tls}
	switch o.subprotocol {
	case "":
		dialer.Subprotocols = []string{"mqtt"}
	case "none":
	default:
		dialer.Subprotocols = []string{o.subprotocol}
	}
	if o.readBuffer > 0 {
		dialer.NetDial = func(network, address string) (net.Conn, error) {
			conn, err := net.Dial(network, address)
			if err == nil {
				err = conn.(*net.TCPConn).SetReadBuffer(o.readBuffer)
			}
			return conn, err
		}
	}
	if o.path == "" {
		o.path = "/mqtt"
	}
	conn, response, err := dialer.DialContext(t.Context(), g.url(o.path), o.header)
	if response != nil && response.Body != nil {
		t.Cleanup(func() { _ = response.Body.Close() })
	}
	return conn, response, err
}

// dial opens a WebSocket to the gateway that the test expects to be let in.
func (g *gateway) dial(t testing.TB, name string, o dialOptions) *wire {
	t.Helper()
	ws, response, err := g.upgrade(t, o)
	if err != nil {
		status := ""
		if response != nil {
			status = response.Status
		}
		t.Fatalf("%s: upgrade: %v %s", name, err, status)
	}
	w := &wire{t: t, name: name, ws: ws, conn: ws.NetConn(), version: frames.V311}
	t.Cleanup(func() { _ = ws.Close() })
	return w
}

// dialTCP opens a plain MQTT connection, past the gateway.
func dialTCP(t testing.TB, name, address string) *wire {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return newTCPWire(t, name, conn)
}

func newTCPWire(t testing.TB, name string, conn net.Conn) *wire {
	t.Cleanup(func() { _ = conn.Close() })
	return &wire{t: t, name: name, conn: conn, version: frames.V311, reader: frames.NewReader(conn, frames.V311, maxTestPacket)}
}

func (w *wire) setVersion(v frames.Version) {
	w.version = v
	if w.reader != nil {
		w.reader.SetVersion(v)
	}
}

// send writes packets in one WebSocket message or one TCP write.
func (w *wire) send(packets ...[]byte) {
	w.t.Helper()
	if err := w.trySend(packets...); err != nil {
		w.t.Fatalf("%s: send: %v", w.name, err)
	}
}

func (w *wire) trySend(packets ...[]byte) error {
	all := bytes.Join(packets, nil)
	deadline := time.Now().Add(patience)
	if w.ws == nil {
		_ = w.conn.SetWriteDeadline(deadline)
		_, err := w.conn.Write(all)
		return err
	}
	_ = w.ws.SetWriteDeadline(deadline)
	return w.ws.WriteMessage(websocket.BinaryMessage, all)
}

// sendHex writes bytes such as "c0 00".
func (w *wire) sendHex(texts ...string) {
	w.t.Helper()
	w.send(unhex(strings.Join(texts, "")))
}

func unhex(text string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return b
}

// next returns the next packet, in bytes of its own. io.EOF or a *websocket.CloseError says that there is none.
func (w *wire) next() (frames.Packet, error) {
	deadline := time.Now().Add(patience)
	if w.ws == nil {
		_ = w.conn.SetReadDeadline(deadline)
		p, err := w.reader.ReadPacket()
		if err != nil {
			return p, err
		}
		raw := bytes.Clone(p.Raw)
		return frames.Packet{Raw: raw, Body: raw[len(raw)-len(p.Body):]}, nil
	}
	for len(w.pending) == 0 {
		_ = w.ws.SetReadDeadline(deadline)
		kind, message, err := w.ws.ReadMessage()
		if err != nil {
			return frames.Packet{}, err
		}
		if kind != websocket.BinaryMessage {
			return frames.Packet{}, fmt.Errorf("a WebSocket message of type %d instead of a binary one", kind)
		}
		for len(message) > 0 { // section 3: towards the client a message always holds whole packets
			p, ok, err := frames.Cut(message, w.version, maxTestPacket)
			if err != nil || !ok {
				return p, fmt.Errorf("a WebSocket message that ends with % x, not a whole packet (%w)", message, err)
			}
			w.pending = append(w.pending, p.Raw)
			message = message[len(p.Raw):]
		}
	}
	raw := w.pending[0]
	w.pending = w.pending[1:]
	p, ok, err := frames.Cut(raw, w.version, maxTestPacket)
	if err != nil || !ok {
		return p, fmt.Errorf("BUG: cut twice: %w", err)
	}
	return p, nil
}

// read returns the next packet and ends the test when there is none.
func (w *wire) read() frames.Packet {
	w.t.Helper()
	p, err := w.next()
	if err != nil {
		w.t.Fatalf("%s: read: %v", w.name, err)
	}
	return p
}

// expect reads a packet of one type.
func (w *wire) expect(want frames.Type) frames.Packet {
	w.t.Helper()
	p := w.read()
	if p.Type() != want {
		w.t.Fatalf("%s: received %s; want %s", w.name, show(p), want)
	}
	return p
}

// expectLeaving reads a packet of one type and leaves the messages that come before it to receive: a broker
// need not wait with a message until it has acknowledged something else.
func (w *wire) expectLeaving(want frames.Type) frames.Packet {
	w.t.Helper()
	for {
		p := w.read()
		if p.Type() == want {
			return p
		}
		if p.Type() != frames.TypePublish {
			w.t.Fatalf("%s: received %s; want %s", w.name, show(p), want)
		}
		w.inbox = append(w.inbox, p)
	}
}

// expectHex reads a packet and compares its bytes.
func (w *wire) expectHex(text string) {
	w.t.Helper()
	p := w.read()
	if want := unhex(text); !bytes.Equal(p.Raw, want) {
		w.t.Fatalf("%s: received %s; want % x", w.name, show(p), want)
	}
}

func show(p frames.Packet) string {
	raw, more := p.Raw, ""
	if len(raw) > 96 {
		raw, more = raw[:96], " ..."
	}
	return fmt.Sprintf("%s % x%s", p.Type(), raw, more)
}

// expectClose wants the connection to end without another packet; over a WebSocket with this status.
func (w *wire) expectClose(status int) {
	w.t.Helper()
	p, err := w.next()
	if err == nil {
		w.t.Fatalf("%s: received %s; want the connection closed", w.name, show(p))
	}
	if w.ws == nil {
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !isReset(err) {
			w.t.Fatalf("%s: %v; want the connection closed", w.name, err)
		}
		return
	}
	if closed, ok := errors.AsType[*websocket.CloseError](err); !ok || closed.Code != status {
		w.t.Fatalf("%s: ended with %v; want close status %d", w.name, err, status)
	}
}

// expectClosed wants the connection to end without another packet, whatever the status.
func (w *wire) expectClosed() {
	w.t.Helper()
	p, err := w.next()
	if err == nil {
		w.t.Fatalf("%s: received %s; want the connection closed", w.name, show(p))
	}
	if netError, timeout := errors.AsType[net.Error](err); timeout && netError.Timeout() {
		w.t.Fatalf("%s: silence; want the connection closed", w.name)
	}
}

// expectDisconnect reads a DISCONNECT of 5.0.
func (w *wire) expectDisconnect(want frames.ReasonCode) {
	w.t.Helper()
	d, err := frames.ParseDisconnect(w.expect(frames.TypeDisconnect), w.version)
	if err != nil || d.Reason != want {
		w.t.Errorf("%s: DISCONNECT %#x, %v; want %#x", w.name, uint8(d.Reason), err, uint8(want))
	}
}

func isReset(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	netError, timeout := errors.AsType[net.Error](err)
	return ok && !(timeout && netError.Timeout())
}

// ping proves that nothing came before: the very next packet is the PINGRESP.
func (w *wire) ping() {
	w.t.Helper()
	if len(w.inbox) > 0 {
		w.t.Fatalf("%s: received %s; want nothing", w.name, show(w.inbox[0]))
	}
	w.send(frames.AppendPingreq(nil))
	w.expect(frames.TypePingresp)
}

// id returns a Packet Identifier that this wire did not use lately.
func (w *wire) id() uint16 {
	if w.nextID++; w.nextID == 0 {
		w.nextID = 1
	}
	return w.nextID
}
