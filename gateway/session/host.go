package session

import (
	"sync"

	"golang.org/x/sync/semaphore"

	"topicgate/gateway/dialect"
	"topicgate/gateway/registry"
	"topicgate/gateway/sleep"
	"topicgate/gateway/subs"
	"topicgate/gateway/upstream"
	"topicgate/gateway/will"
	"topicgate/gateway/wire"
)

// Host is the gateway that sessions live in, as far as they know it. What is exported is set before the first of
// them is made.
type Host struct {
	Settings

	Brokers  *upstream.Brokers
	Sleepers *sleep.Store
	Index    *sleep.Index       // nil: none
	Registry *registry.Registry // nil: none
	Wills    *will.Vigils

	// Work has job run soon, on a goroutine that is not the caller's. It never blocks.
	Work func(job func())
	// Admit counts a session once it is known whose it is; false: the user has as many as allowed.
	Admit func(s *Session, username, upstreamID string) bool
	// TakenOver tells whether another session than s has asked a broker for an MQTT Session since s has.
	TakenOver func(s *Session, upstreamID string) bool
	// Asks is told that a session which was admitted is about to ask a broker for its MQTT Session.
	Asks func(s *Session, upstreamID string)
	// Slept is told of a session that has ended, and whose MQTT Session outlives it.
	Slept func(username string)
	// Forget is told of each session's end, after everything that the session started has ended.
	Forget func(s *Session)

	clientID  clientIDTemplate
	guessed   sync.Once // what the broker may be
	held      held
	lost      herd // of sessions whose broker has gone
	rates     rates
	payloads  payloadTurns
	lot       *wire.Lot[parked]
	reviewers reviewers
	subs      subs.Settings
	wall      wallClock
}

// NewHost makes a host of settings, which it completes; it lacks what its caller is to set.
func NewHost(settings Settings) (*Host, error) {
	settings, err := settings.withDefaults()
	if err != nil {
		return nil, err
	}
	template, err := parseClientIDTemplate(settings.ClientIDTemplate, settings.Dialect)
	if err != nil {
		return nil, err
	}
	return &Host{Settings: settings, clientID: template, held: held{bytes: semaphore.NewWeighted(heldBytes)}, lot: wire.NewLot(resume), wall: wallClock{settings.Now}, subs: subs.Settings{
		Strict: settings.SubscribeMode == SubscribeStrict, NarrowMax: settings.NarrowMax, MaxSubscriptions: settings.MaxSubscriptions, Dialect: settings.Dialect,
	}}, nil
}

// UpstreamCredentials are what the broker is told of a user.
func (h *Host) UpstreamCredentials(username string) (name, password string) {
	return upstreamUsername(h.UpstreamUsername, username, h.Dialect), h.UpstreamPassword
}

// guess warns, once, of a broker that looks like one of another dialect than was set: nobody but the operator can know.
func (h *Host) guess(like dialect.Dialect) {
	if like == dialect.MQTT || h.Dialect != dialect.MQTT {
		return
	}
	h.guessed.Do(func() {
		h.Logger.Warn("the broker may take topics for others than the rules do: if it is of this dialect, set TOPICGATE_UPSTREAM_DIALECT", "dialect", like.String())
	})
}

// Close ends what the host does for all sessions, when all have ended.
func (h *Host) Close() {
	h.lot.Close()
	h.Wills.Close()
}
