package session

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/dialect"
	"topicgate/gateway/edge"
	"topicgate/gateway/metrics"
	"topicgate/policy/store"
)

// SubscribeMode says what becomes of a SUBSCRIBE whose Topic Filter is wider than what may be read.
type SubscribeMode string

const (
	// SubscribeNarrow subscribes upstream to the intersection of the filter with what may be read.
	SubscribeNarrow SubscribeMode = "narrow"
	// SubscribeStrict refuses a filter that is not wholly inside what may be read.
	SubscribeStrict SubscribeMode = "strict"
)

// DenyPublish says how a refused PUBLISH is answered in protocols without negative
// acknowledgements (3.1, 3.1.1).
type DenyPublish string

const (
	// DenyAck acknowledges the refused PUBLISH as if it had been delivered.
	DenyAck DenyPublish = "ack"
	// DenyDisconnect ends the session.
	DenyDisconnect DenyPublish = "disconnect"
)

// Unavailable says how a CONNECT ends that nobody could decide or serve until its time was over.
type Unavailable string

const (
	// UnavailableClose closes the WebSocket with 1013, without a CONNACK.
	UnavailableClose Unavailable = "close"
	// UnavailableConnack answers with a CONNACK first: 0x03, in 5.0 0x88.
	UnavailableConnack Unavailable = "connack"
)

// Verifier tells whose token this is. Its errors are *auth.Refused, or *auth.Undecided when the
// answer may be another one later.
type Verifier interface {
	Verify(ctx context.Context, token string) (auth.Identity, error)
}

// Settings are what an operator has said about sessions. The zero value of a limit means no limit.
type Settings struct {
	// Identity.
	TokenSources      []edge.TokenSource // in order of precedence
	CertificatePrefix string             // begins the usernames that client certificates give
	ClientIDTemplate  string             // with {username} and {client_id}
	UserProperty      string             // name of the injected User Property; empty: none
	UpstreamUsername  string             // template with {username}; empty: none
	UpstreamPassword  string
	Dialect           dialect.Dialect // what the broker takes for something else

	// Policy.
	SubscribeMode SubscribeMode
	NarrowMax     int // upstream filters for one subscription
	DenyPublish   DenyPublish
	AuditAllowed  bool

	// Limits.
	MaxPacketBytes   int
	MaxSubscriptions int     // Topic Filters of one session
	PublishRate      float64 // messages a second of one session
	PublishBurst     int

	// Waits.
	ConnectTimeout time.Duration // upgrade to CONNECT, and CONNECT to CONNACK
	WriteTimeout   time.Duration // a peer that does not read
	Unavailable    Unavailable   // when the second of these is over

	Instance string // names this process in audit records
	Verifier Verifier
	Policy   *store.Store
	Audit    *audit.Log // nil: none
	Metrics  *metrics.Metrics
	Logger   *slog.Logger

	// Now is the wall clock by which tokens end; nil: time.Now.
	Now func() time.Time
}

// withDefaults fills in what may be left out and reports what may not.
func (s Settings) withDefaults() (Settings, error) {
	var errs []error
	require := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("session settings: "+what))
		}
	}
	require(s.Verifier != nil, "no verifier")
	require(s.Policy != nil, "no policy store")
	require(s.Metrics != nil, "no metrics")
	setDefault(&s.ClientIDTemplate, "{username}:{client_id}")
	setDefault(&s.SubscribeMode, SubscribeNarrow)
	setDefault(&s.DenyPublish, DenyAck)
	setDefault(&s.Unavailable, UnavailableClose)
	setDefault(&s.NarrowMax, 1000)
	setDefault(&s.MaxPacketBytes, 1800<<10)
	s.MaxPacketBytes = min(s.MaxPacketBytes, mostPacketBytes)
	setDefault(&s.ConnectTimeout, 10*time.Second)
	setDefault(&s.WriteTimeout, 30*time.Second)
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return s, errors.Join(errs...)
}

// mostPacketBytes leaves room for what the gateway adds to a PUBLISH below the longest packet that there
// can be: a Topic Name in place of an alias, the User Property, longer lengths.
const mostPacketBytes = frames.MaxPacketBytes - 256<<10

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
