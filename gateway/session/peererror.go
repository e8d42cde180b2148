package session

import (
	"errors"
	"fmt"
	"io"

	"github.com/gorilla/websocket"
)

// brokerWriteError says what a failed write towards the broker means.
func (s *Session) brokerWriteError(err error) error {
	if isTimeout(err) {
		return ended(EndBrokerLost, errors.New("the broker does not read"))
	}
	return ended(EndBrokerLost, err)
}

// clientWriteError says what a failed write towards the client means.
func (s *Session) clientWriteError(err error) error {
	if isTimeout(err) {
		return ended(EndClientSlow, nil)
	}
	return ended(EndClientLost, err)
}

// clientReadError says what a failed read from the client means. A deadline that was not set by
// finish is timeout.
func (s *Session) clientReadError(err error, timeout EndReason) error {
	var end *endError
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &end):
		return err
	case isTimeout(err):
		return ended(timeout, nil)
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return ended(EndClientLost, fmt.Errorf("WebSocket closed by the client with %d", closed.Code))
	case errors.Is(err, io.EOF), errors.As(err, &closed), errors.Is(err, io.ErrUnexpectedEOF):
		return ended(EndClientLost, nil)
	}
	return ended(EndClientLost, err)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
