package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"topicgate/gateway/audit"
)

// disconnectOrder asks every instance to end sessions. Who is disconnected may come back at once: who may
// not is in the set <prefix>blocked.
type disconnectOrder struct {
	User     string   `json:"user"`
	ClientID string   `json:"client_id,omitempty"` // as the client knows it; empty: any
	Sessions []string `json:"sessions,omitempty"`  // session ids; none: any
}

// controlMessage is a message on the channel <prefix>ctl, in JSON.
type controlMessage struct {
	Disconnect *disconnectOrder `json:"disconnect"`
}

func parseControl(text string) (disconnectOrder, error) {
	var message controlMessage
	if err := json.Unmarshal([]byte(text), &message); err != nil {
		return disconnectOrder{}, err
	}
	if message.Disconnect == nil || message.Disconnect.User == "" {
		return disconnectOrder{}, errors.New("no order to disconnect a user")
	}
	return *message.Disconnect, nil
}

const (
	minControlPause = 100 * time.Millisecond
	maxControlPause = 2 * time.Second
)

// listen hears orders until ctx ends.
func (r *registry) listen(ctx context.Context, obey func(disconnectOrder)) {
	pause := minControlPause
	for ctx.Err() == nil {
		begin := time.Now()
		err := r.hear(ctx, obey)
		if ctx.Err() != nil {
			return
		}
		r.log.Debug("control connection lost", "err", err.Error())
		if time.Since(begin) > maxControlPause {
			pause = minControlPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause + rand.N(pause)): // all gateways lose a server at once
		}
		pause = min(2*pause, maxControlPause)
	}
}

// hear holds one connection, and returns when it is no good any more.
func (r *registry) hear(ctx context.Context, obey func(disconnectOrder)) error {
	sub := r.client.Subscribe(ctx, r.keys.control())
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })()

	// A connection that is half open tells nothing, so it has to answer pings. That is not left to a read
	// deadline: one that struck in the middle of a message would leave the reader there.
	silence := time.AfterFunc(r.timing.silence, func() { _ = sub.Close() })
	defer silence.Stop()
	pinging, stop := context.WithCancel(ctx)
	var pinger sync.WaitGroup
	pinger.Go(func() { r.ping(pinging, sub) })
	defer pinger.Wait()
	defer stop()

	for {
		received, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		silence.Reset(r.timing.silence)
		message, ok := received.(*redis.Message)
		if !ok {
			continue // a confirmation, or the answer to a ping
		}
		order, err := parseControl(message.Payload)
		if err != nil {
			r.log.Warn("control message dropped", "channel", message.Channel, "bytes", len(message.Payload), "err", err.Error())
			continue
		}
		obey(order)
	}
}

func (r *registry) ping(ctx context.Context, sub *redis.PubSub) {
	ticker := time.NewTicker(r.timing.ping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = sub.Ping(ctx) // a failure shows itself as silence
		}
	}
}

// disconnect ends the sessions that order names.
func (s *Server) disconnect(order disconnectOrder) {
	s.mu.Lock()
	var ending []*session
	for session := range s.sessions {
		if session.named(order) {
			ending = append(ending, session)
		}
	}
	s.mu.Unlock()
	s.log.Info("disconnecting", "username", order.User, "client_id", order.ClientID, "sessions", len(ending))
	for _, session := range ending {
		session.finish(ended(EndDisconnected, nil))
	}
}

// named reports whether order concerns the session. server.mu is held.
func (s *session) named(order disconnectOrder) bool {
	if !s.counted { // nobody knows yet whose it is
		return false
	}
	s.identityMu.Lock()
	user := s.identity.Username
	s.identityMu.Unlock()
	return user == order.User && (order.ClientID == "" || s.clientID == order.ClientID) &&
		(len(order.Sessions) == 0 || slices.Contains(order.Sessions, s.id))
}

// announce makes an accepted session known to operators, or what has changed of it.
func (s *session) announce(info SessionInfo) {
	if info.Expires.Year() > 9999 {
		info.Expires = time.Time{} // JSON knows no such year
	}
	if s.info.Swap(&info) == nil {
		s.server.registry.add(&info)
	} else {
		s.server.registry.replace(&info)
	}
}

// auditEnd records the end of a session with which its client would have gone on.
func (s *session) auditEnd(err error) {
	var end EndReason
	if !errors.As(err, &end) {
		return
	}
	switch end {
	case EndBlocked, EndDisconnected, EndTokenRevoked, EndTokenExpired:
		s.audit(audit.Event{Action: audit.Disconnect, Decision: audit.Refused, Reason: end.String()})
	}
}

const (
	// disconnectPoll is how often Disconnect looks whether sessions have ended.
	disconnectPoll = 50 * time.Millisecond
	// disconnectRepeat is how often it repeats its order, for an instance whose connection was being
	// opened anew.
	disconnectRepeat = time.Second
)

// Disconnect has all instances end the sessions of a user, or those with one Client Identifier ("": all). It
// returns the sessions that have ended, and those that had not when ctx ended. prefix is that of the
// gateways' keys.
func Disconnect(ctx context.Context, client redis.UniversalClient, prefix, user, clientID string) (gone, left []LiveSession, err error) {
	keys := registryKeys{prefix}
	all, err := LiveSessions(ctx, client, prefix)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range all {
		if s.User == user && (clientID == "" || s.ClientID == clientID) {
			left = append(left, s)
		}
	}
	// Also when the registry has none: a session may be about to enter it.
	order := disconnectOrder{User: user, ClientID: clientID}
	if err := order.publish(ctx, client, keys); err != nil {
		return nil, left, err
	}
	named := left
	left, err = awaitEnd(ctx, client, keys, order, named)
	gone = slices.DeleteFunc(slices.Clone(named), func(s LiveSession) bool { return slices.Contains(left, s) })
	return gone, left, err
}

// awaitEnd waits until the registry has none of sessions any more, and returns those that it still has when
// ctx ends.
func awaitEnd(ctx context.Context, client redis.UniversalClient, keys registryKeys, order disconnectOrder, left []LiveSession) ([]LiveSession, error) {
	poll, repeat := time.NewTicker(disconnectPoll), time.NewTicker(disconnectRepeat)
	defer poll.Stop()
	defer repeat.Stop()
	for len(left) > 0 {
		var err error
		select {
		case <-ctx.Done():
			return left, nil
		case <-repeat.C:
			// By their ids: who has come back meanwhile stays.
			order.Sessions = nil
			for _, s := range left {
				order.Sessions = append(order.Sessions, s.Session)
			}
			err = order.publish(ctx, client, keys)
		case <-poll.C:
			var live []LiveSession
			if live, err = stillLive(ctx, client, keys, left); err == nil {
				left = live
			}
		}
		if err != nil && ctx.Err() == nil {
			return left, err
		}
	}
	return nil, nil
}

func (o disconnectOrder) publish(ctx context.Context, client redis.UniversalClient, keys registryKeys) error {
	text, err := json.Marshal(controlMessage{&o})
	if err == nil {
		err = client.Publish(ctx, keys.control(), text).Err()
	}
	if err != nil {
		return fmt.Errorf("control channel: %w", err)
	}
	return nil
}
