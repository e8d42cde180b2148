package session

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/registry"
)

// tokens verifies what it holds.
type tokens map[string]auth.Identity

func (t tokens) Verify(_ context.Context, token string) (auth.Identity, error) {
	identity, known := t[token]
	if !known {
		return identity, &auth.Refused{Reason: auth.ReasonExpired}
	}
	return identity, nil
}

// The same issuer, subject and username must have a fresh token: two issuers may call different people by one name.
// Who tries another hears of it, and so does the audit.
func TestAFreshTokenOfAnybodyElseIsRefused(t *testing.T) {
	alice := auth.Identity{Issuer: "https://one.example", Subject: "1", Username: "alice"}
	issuer, subject, username := alice, alice, alice
	issuer.Issuer, subject.Subject, username.Username = "https://two.example", "2", "bob"
	verifier := tokens{"alice": alice, "issuer": issuer, "subject": subject, "username": username}
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		for _, token := range []string{"issuer", "subject", "username"} {
			c := newRig(t, func(o *rigOptions) { o.Verifier = verifier }).Connect(v, "alice")
			c.Asks(1, 0, play.At(0, topicRejected))
			c.Granted(1, 0)
			c.Say(play.PublishHex(v, topicToken, 1, 7, token))
			c.ExpectRejected(v, "publish", topicToken)
			refused := frames.Success
			if v == frames.V5 {
				refused = frames.NotAuthorized
			}
			c.Hears(play.AckHex(frames.TypePuback, 7, refused, v))
			c.WantAudited(`"action":"publish"`, `"topic":"$topicgate/token"`, `"reason":"other_subject"`)
		}
	})
}

func TestARefusedReauthenticationIsAudited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newRig(t, nil).ConnectByAuth("alice")
		c.Say(authHex(frames.Reauthenticate, oauth2JWT, "bob"))
		c.Hears("e0 01 87")
		c.Closes(4401)
		c.WantAudited(`"action":"connect"`, `"user":"alice"`, `"reason":"other_subject"`)
	})
}

// A fresh token brings its own roles and its own end: what it allows is allowed at once, what it does not falls silent.
func TestAFreshTokenBringsItsOwnRights(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		begin := time.Now()
		plain := auth.Identity{Issuer: "https://one.example", Subject: "1", Username: "alice", Expiry: begin.Add(time.Hour)}
		promoted := plain
		promoted.Roles, promoted.Expiry = []string{"moderator"}, begin.Add(2*time.Hour)
		r := newRooms(t, func(o *rigOptions) { o.Verifier = tokens{"plain": plain, "promoted": promoted} })
		r.SetRules(roomRules + "role moderator\ntopic read room/three/#\n")
		c := r.Connect(v, "plain")
		c.Asks(1, 0, play.At(1, "room/#"))
		c.Grants(c.Asked("room/one/#", "room/two/#").PacketID, 1, 1)
		c.Granted(1, 1)
		renew := func(token string) {
			c.Say(play.PublishHex(v, topicToken, 0, 0, token))
		}
		renew("promoted")
		c.Grants(c.Asked("room/three/#").PacketID, 1)
		c.Reply(messageHex(v, "room/three/x"))
		c.Hears(messageHex(v, "room/three/x"))
		synctest.Wait() // the review may be ahead of the registry
		if live := r.server.Sessions(); len(live) != 1 || !live[0].Expires.Equal(promoted.Expiry) {
			t.Errorf("Sessions() = %+v; want one that expires at %v", live, promoted.Expiry)
		}
		renew("plain")
		c.Releases(c.Left("room/three/#"))
		c.Reply(messageHex(v, "room/three/x"))
		c.Reply(messageHex(v, "room/one/x"))
		c.Hears(messageHex(v, "room/one/x"))
		synctest.Wait()
		if !slices.ContainsFunc(r.server.Sessions(), func(s registry.SessionInfo) bool { return s.Expires.Equal(plain.Expiry) }) {
			t.Errorf("Sessions() = %+v; want one that expires at %v", r.server.Sessions(), plain.Expiry)
		}
	})
}
