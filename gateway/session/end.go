package session

import (
	"errors"
	"log/slog"

	"github.com/gorilla/websocket"

	"topicgate/frames"
)

// EndReason says why a session ended. It is an error, so that it can be the cause of one.
type EndReason uint8

// The reasons, in the order of a session's life.
const (
	endNone EndReason = iota
	EndNoConnect
	EndProtocolError
	EndMalformedPacket
	EndPacketTooLarge
	EndTextMessage
	EndConnectTimeout
	EndNotAuthenticated
	EndCannotDecide
	EndWillRejected
	EndBlocked
	EndDisconnected
	EndTokenRevoked
	EndTokenExpired
	EndClientIDRejected
	EndTooManyConnections
	EndBrokerUnavailable
	EndBrokerRefused
	EndBrokerLost
	EndTakenOver
	EndClientSilent
	EndBrokerProtocolError
	EndBrokerDisconnect
	EndClientDisconnect
	EndClientLost
	EndClientSlow
	EndPublishRejected
	EndDraining
	EndInternal
	endReasons // how many
)

// Close status of the gateway's own, beside RFC 6455 section 7.4.
const (
	closeNotAuthenticated = 4401 // bad, missing, expired or revoked token
	closeForbidden        = 4403 // blocked or disconnected by an operator
)

// endTable holds one row for each EndReason: the word in logs and metrics, the Reason Code of the
// DISCONNECT that an MQTT 5.0 client is sent first (0: none), the WebSocket close status, and the level
// at which the end is logged.
var endTable = [endReasons]struct {
	word   string
	code   frames.ReasonCode
	status int
	level  slog.Level
}{
	endNone:                {"none", 0, websocket.CloseNormalClosure, slog.LevelInfo},
	EndNoConnect:           {"no_connect", 0, websocket.CloseProtocolError, slog.LevelInfo},
	EndProtocolError:       {"protocol_error", frames.ProtocolError, websocket.CloseProtocolError, slog.LevelWarn},
	EndMalformedPacket:     {"malformed_packet", frames.MalformedPacket, websocket.CloseProtocolError, slog.LevelWarn},
	EndPacketTooLarge:      {"packet_too_large", frames.PacketTooLarge, websocket.CloseMessageTooBig, slog.LevelWarn},
	EndTextMessage:         {"text_message", frames.ProtocolError, websocket.CloseUnsupportedData, slog.LevelWarn},
	EndConnectTimeout:      {"connect_timeout", 0, websocket.ClosePolicyViolation, slog.LevelInfo},
	EndNotAuthenticated:    {"not_authenticated", 0, closeNotAuthenticated, slog.LevelInfo},
	EndCannotDecide:        {"cannot_decide", 0, websocket.CloseTryAgainLater, slog.LevelWarn},
	EndWillRejected:        {"will_rejected", 0, closeForbidden, slog.LevelInfo},
	EndBlocked:             {"blocked", frames.AdministrativeAction, closeForbidden, slog.LevelInfo},
	EndDisconnected:        {"disconnected", frames.AdministrativeAction, closeForbidden, slog.LevelInfo},
	EndTokenRevoked:        {"token_revoked", frames.NotAuthorized, closeNotAuthenticated, slog.LevelInfo},
	EndTokenExpired:        {"token_expired", frames.NotAuthorized, closeNotAuthenticated, slog.LevelInfo},
	EndClientIDRejected:    {"client_id_rejected", 0, websocket.ClosePolicyViolation, slog.LevelInfo},
	EndTooManyConnections:  {"too_many_connections", 0, websocket.CloseTryAgainLater, slog.LevelWarn},
	EndBrokerUnavailable:   {"broker_unavailable", 0, websocket.CloseTryAgainLater, slog.LevelWarn},
	EndBrokerRefused:       {"broker_refused", 0, websocket.CloseNormalClosure, slog.LevelWarn},
	EndBrokerLost:          {"broker_lost", frames.ServerShuttingDown, websocket.CloseTryAgainLater, slog.LevelWarn},
	EndTakenOver:           {"taken_over", frames.SessionTakenOver, websocket.CloseNormalClosure, slog.LevelInfo},
	EndClientSilent:        {"client_silent", frames.KeepAliveTimeout, websocket.CloseNormalClosure, slog.LevelInfo},
	EndBrokerProtocolError: {"broker_protocol_error", frames.ServerShuttingDown, websocket.CloseTryAgainLater, slog.LevelError},
	EndBrokerDisconnect:    {"broker_disconnect", 0, websocket.CloseNormalClosure, slog.LevelInfo},
	EndClientDisconnect:    {"client_disconnect", 0, websocket.CloseNormalClosure, slog.LevelInfo},
	EndClientLost:          {"client_lost", 0, websocket.CloseNormalClosure, slog.LevelInfo},
	EndClientSlow:          {"client_slow", 0, websocket.ClosePolicyViolation, slog.LevelWarn},
	EndPublishRejected:     {"publish_rejected", frames.NotAuthorized, closeForbidden, slog.LevelInfo},
	EndDraining:            {"draining", frames.ServerShuttingDown, websocket.CloseServiceRestart, slog.LevelInfo},
	EndInternal:            {"internal", frames.UnspecifiedError, websocket.CloseInternalServerErr, slog.LevelError},
}

func (r EndReason) String() string { return endTable[r].word }

func (r EndReason) Error() string { return "session ended: " + endTable[r].word }

// EndReasons lists the words of all reasons, for metrics.
func EndReasons() []string {
	words := make([]string, 0, endReasons)
	for r := EndReason(1); r < endReasons; r++ {
		words = append(words, r.String())
	}
	return words
}

// endError is an end with what the log is to say about it, and where the reason's own Reason Code is not the
// right one, another.
type endError struct {
	reason EndReason
	code   frames.ReasonCode // 0: the reason's
	err    error
}

func (e *endError) Error() string {
	if e.err == nil {
		return e.reason.Error()
	}
	return e.reason.Error() + ": " + e.err.Error()
}

func (e *endError) Unwrap() []error { return []error{e.reason, e.err} }

// ended wraps err, which may be nil, as the end of a session.
func ended(reason EndReason, err error) error { return &endError{reason: reason, err: err} }

// brokenPacket is the end of a session whose peer sent err's bytes.
func brokenPacket(err error) error {
	var broken *frames.Error
	if !errors.As(err, &broken) {
		return ended(EndProtocolError, err)
	}
	end := &endError{reason: EndProtocolError, code: broken.Code, err: err}
	switch broken.Code {
	case frames.MalformedPacket:
		end.reason = EndMalformedPacket
	case frames.PacketTooLarge:
		end.reason = EndPacketTooLarge
	}
	return end
}
