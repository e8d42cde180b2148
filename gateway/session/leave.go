package session

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
	"topicgate/gateway/wire"
)

// leave says goodbye to both sides and closes them.
func (s *Session) leave(err error, established bool) {
	s.disarmExpiry()
	end := EndInternal
	_ = errors.As(err, &end)
	if s.accepted {
		s.leaveBroker(established)
	}
	if established {
		s.leaveWill(end)
	}
	s.up.directed.leave()
	if s.grant != nil {
		s.grant.Close()
	}
	row := endTable[end]
	code := row.code
	var detail *endError
	if errors.As(err, &detail) && detail.code != 0 {
		code = detail.code
	}
	var last []byte
	if established && code != 0 && s.version == frames.V5 && end != EndClientLost {
		last = frames.Disconnect{Reason: code}.Append(nil, frames.V5)
	}
	deadline := time.Now().Add(wire.LingerTimeout)
	s.clientSocket.Seal(deadline) // anew: the broker may have taken its time
	_ = s.client.Close(last)
	_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(row.status, ""), deadline)
	s.halfCloseClient()
	if s.accepted {
		s.broker.Drain(deadline)
	}
	s.broker.Close()
	s.linger(deadline)
	_ = s.ws.Close()
	s.up.inbox.Skip(s.up.inbox.Len())
	s.up.inbox.Release()
}

// leaveBroker sends what was forwarded last and ends our stream. Without a DISCONNECT before the end
// the broker publishes the Will; one that is not allowed any more must not fire, nor that of a client
// which has never heard that it is connected.
func (s *Session) leaveBroker(established bool) {
	quiet := !established
	if established && s.will != nil && !s.left.Load() {
		if r := s.fireWill(); r != nil {
			s.rejectWill(r)
			s.will = nil
			quiet = true
		}
	}
	var last []byte
	if quiet {
		last = frames.Disconnect{}.Append(nil, s.version)
	}
	_ = s.upstream.Close(last)
	s.broker.HalfClose()
}

// halfCloseClient ends our stream: after the Close frame the client waits for that (RFC 6455 section 7.1.1).
func (s *Session) halfCloseClient() {
	if t, ok := s.ws.NetConn().(*tls.Conn); ok {
		_ = t.CloseWrite()
	}
	_ = s.clientSocket.CloseWrite()
}

// linger drops what the client still sends until it has closed too. Closing at once, with bytes of the
// client's unread, would reset the connection, and our last words might be lost: the CONNACK that
// tells it not to come back, the close status.
func (s *Session) linger(deadline time.Time) {
	s.clientSocket.Idle = nil
	_ = s.clientSocket.SetReadDeadline(deadline)
	var drop [512]byte
	const most = 1 << 20 // of a client that won't stop talking
	c := s.ws.NetConn()
	for total := 0; total < most; {
		n, err := c.Read(drop[:])
		if err != nil {
			return
		}
		total += n
	}
}
