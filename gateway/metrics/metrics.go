package metrics

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"topicgate/gateway/wire"
	"topicgate/policy/store"
)

// The closed sets of label values that belong to this file. The others have their enums elsewhere and come to
// New as labels.
var (
	// By Control Packet type, MQTT 5.0 section 2.1.2; 0 is reserved and never counted.
	packetNames = [16]string{
		1: "connect", "connack", "publish", "puback", "pubrec", "pubrel", "pubcomp", "subscribe",
		"suback", "unsubscribe", "unsuback", "pingreq", "pingresp", "disconnect", "auth",
	}

	versionNames    = []string{"3.1", "3.1.1", "5.0"}
	operationNames  = []string{"connect", "publish", "subscribe", "will", "deliver"}
	policyResults   = []string{policySuccess, policyInvalid}
	readResults     = []string{readSuccess, readFailed}
	refusedStatuses = []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusUpgradeRequired, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
)

// Results of loading a rule text, and of reading from Redis.
const (
	policySuccess = "success"
	policyInvalid = "invalid" // the text does not parse; the last good one stays

	readSuccess = "success"
	readFailed  = "failed"
)

// otherLabel counts values that are in no list, so that nothing is lost and no label set grows.
const otherLabel = "other"

// Metrics holds every metric of the gateway, on a registry of its own. Its methods are safe for
// concurrent use; all label values are resolved when it is made, so that none of them is looked
// up by hashing on the data path and all of them are exported at 0 from the start.
type Metrics struct {
	registry *prometheus.Registry

	sessions       map[string]prometheus.Gauge
	held           prometheus.Gauge
	connections    prometheus.Gauge
	turnedAway     prometheus.Counter
	evicted        counters
	willsCalledOff counters
	sessionsEnded  counters
	packets        [wire.Directions][16]prometheus.Counter
	bytes          [wire.Directions]prometheus.Counter
	malformed      [wire.Directions]prometheus.Counter
	rejections     map[string]counters // by operation
	httpRefusals   counters
	tokens         counters
	tokenDuration  prometheus.Histogram
	upstream       counters
	policyLoads    counters
	policyLastLoad prometheus.Gauge
	policyReads    counters
	policyReadTime prometheus.Histogram
	policyResets   counters
	policyStale    prometheus.Gauge
	auditLost      prometheus.Counter
	conflated      prometheus.Counter
}

// Labels are the whole sets of values that methods of Metrics will be given; another one counts as "other".
type Labels struct {
	Ends       []string // why sessions end
	Rejections []string // why operations are rejected
	Tokens     []string // results of verifying a token
	Connects   []string // results of an attempt to reach a broker
}

// New registers all metrics.
func New(labels Labels) *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	m := &Metrics{
		registry:       r,
		sessions:       newGauges(r, "topicgate_sessions", "Live sessions by MQTT version.", "version", versionNames),
		connections:    newGauge(r, "topicgate_connections", "Connections of clients from the TCP accept on, with a session or without."),
		turnedAway:     newCounter(r, "topicgate_connections_turned_away_total", "Connections that were closed for want of room, before they had shown a good token."),
		evicted:        newCounters(r, "topicgate_sleepers_evicted_total", "Sleeping MQTT Sessions of blocked users that were ended at their broker, by result.", "result", readResults),
		willsCalledOff: newCounters(r, "topicgate_wills_called_off_total", "Wills that waited at a broker and may not be published any more, by whether they could be called off.", "result", readResults),
		held:           newGauge(r, "topicgate_connects_held", "Clients that wait for somebody to serve them: a broker, Redis or an issuer is away."),
		sessionsEnded:  newCounters(r, "topicgate_sessions_ended_total", "Sessions that ended, by reason.", "reason", labels.Ends),
		rejections:     make(map[string]counters, len(operationNames)),
		httpRefusals:   newCounters(r, "topicgate_http_refusals_total", "HTTP requests answered without an upgrade, by status.", "status", statusNames()),
		tokens:         newCounters(r, "topicgate_token_verifications_total", "Token verifications by result.", "result", labels.Tokens),
		upstream:       newCounters(r, "topicgate_upstream_connects_total", "Attempts to connect to a broker, by result.", "result", labels.Connects),
		policyLoads:    newCounters(r, "topicgate_policy_loads_total", "Rule texts of file or Redis that were put in force or refused, by result.", "result", policyResults),
		policyReads:    newCounters(r, "topicgate_policy_reads_total", "Round trips that read policy from Redis, by result.", "result", readResults),
		policyReadTime: newHistogram(r, "topicgate_policy_read_duration_seconds", "Time of a round trip that read policy from Redis."),
		policyResets:   newCounters(r, "topicgate_policy_resets_total", "Times everything cached from Redis was read again, by reason.", "reason", store.ResetReasons),
		policyStale:    newGauge(r, "topicgate_policy_stale", "1 while everything is denied because Redis is away for too long."),
		tokenDuration:  newHistogram(r, "topicgate_token_verification_duration_seconds", "Time to verify a token, fetched keys included."),
		policyLastLoad: newGauge(r, "topicgate_policy_last_load_timestamp_seconds", "When a rule text was last put in force; 0: never."),
		conflated:      newCounter(r, "topicgate_conflated_total", "Messages that a newer one of their topic replaced while they waited for a client that does not keep up."),
		auditLost:      newCounter(r, "topicgate_audit_dropped_total", "Audit events lost to a full queue or a failed sink."),
	}
	rejections := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "topicgate_rejections_total",
		Help: "Operations that were refused, by operation and reason.",
	}, []string{"operation", "reason"})
	r.MustRegister(rejections)
	for _, operation := range slices.Concat(operationNames, []string{otherLabel}) {
		m.rejections[operation] = resolve(rejections.MustCurryWith(prometheus.Labels{"operation": operation}), labels.Rejections)
	}
	m.registerTraffic()
	return m
}

// registerTraffic makes the counters of the data path.
func (m *Metrics) registerTraffic() {
	packets := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "topicgate_packets_total",
		Help: "MQTT Control Packets read, by direction and packet type.",
	}, []string{"direction", "packet"})
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "topicgate_bytes_total",
		Help: "Bytes of the MQTT Control Packets read, by direction.",
	}, []string{"direction"})
	malformed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "topicgate_malformed_packets_total",
		Help: "Packets that broke the MQTT specification and ended their session, by direction.",
	}, []string{"direction"})
	m.registry.MustRegister(packets, bytes, malformed)
	for d := range m.bytes {
		name := wire.Direction(d).String()
		m.bytes[d] = bytes.WithLabelValues(name)
		m.malformed[d] = malformed.WithLabelValues(name)
		for t, packet := range packetNames {
			if packet != "" {
				m.packets[d][t] = packets.WithLabelValues(name, packet)
			}
		}
	}
}

// PacketCounts is what one pump has read since it last told Metrics. It belongs to that pump
// alone: plain numbers, so that a packet costs two additions and no cache line is shared. (No pump reads four
// billion packets without waiting for one.)
type PacketCounts struct {
	packets [16]uint32 // by Control Packet type
	bytes   uint64
}

// Add counts one whole packet of n bytes.
func (c *PacketCounts) Add(packetType uint8, n int) {
	c.packets[packetType&15]++
	c.bytes += uint64(n)
}

// Flush moves the counts to m and begins again at 0.
func (c *PacketCounts) Flush(m *Metrics, d wire.Direction) {
	m.addPackets(d, &c.packets, c.bytes)
	c.bytes = 0
}

// addPackets adds counts, indexed by Control Packet type, and sets them to 0.
func (m *Metrics) addPackets(d wire.Direction, counts *[16]uint32, bytes uint64) {
	for t, n := range counts {
		if n != 0 && m.packets[d][t] != nil {
			m.packets[d][t].Add(float64(n))
		}
	}
	*counts = [16]uint32{}
	if bytes != 0 {
		m.bytes[d].Add(float64(bytes))
	}
}

// SessionStarted and SessionEnded come in pairs, with the same version ("3.1", "3.1.1" or "5.0").
func (m *Metrics) SessionStarted(version string) {
	if g, ok := m.sessions[version]; ok {
		g.Inc()
	}
}

func (m *Metrics) SessionEnded(version, reason string) {
	if g, ok := m.sessions[version]; ok {
		g.Dec()
	}
	m.sessionsEnded.add(reason, 1)
}

// EndedEarly is SessionEnded for a session that has not started.
func (m *Metrics) EndedEarly(reason string) { m.sessionsEnded.add(reason, 1) }

// Rejected counts one refused operation: connect, publish, subscribe, will or deliver.
func (m *Metrics) Rejected(operation, reason string) {
	byReason, ok := m.rejections[operation]
	if !ok {
		byReason = m.rejections[otherLabel]
	}
	byReason.add(reason, 1)
}

// TokenVerified counts one verification; it is an auth.Options.Observe.
func (m *Metrics) TokenVerified(result string, d time.Duration) {
	m.tokens.add(result, 1)
	m.tokenDuration.Observe(d.Seconds())
}

// ConnectionsOpen counts open connections: n more.
func (m *Metrics) ConnectionsOpen(n int) { m.connections.Add(float64(n)) }

// ConnectionTurnedAway counts one that was closed for want of room.
func (m *Metrics) ConnectionTurnedAway() { m.turnedAway.Inc() }

// SleeperEvicted counts a sleeping MQTT Session of a blocked user that was ended, or could not be.
func (m *Metrics) SleeperEvicted(ok bool) {
	result := readSuccess
	if !ok {
		result = readFailed
	}
	m.evicted.add(result, 1)
}

// WillCalledOff counts a Will that waited at a broker and may not be published any more, for a reason.
func (m *Metrics) WillCalledOff(reason string, ok bool) {
	result := readSuccess
	if !ok {
		result = readFailed
	}
	m.willsCalledOff.add(result, 1)
	if ok {
		m.Rejected("will", reason)
	}
}

// ConnectsHeld counts clients that are held in an outage: n more.
func (m *Metrics) ConnectsHeld(n int) { m.held.Add(float64(n)) }

// BrokerTried counts one attempt to reach a broker.
func (m *Metrics) BrokerTried(result string) { m.upstream.add(result, 1) }

// PolicyEvent counts what happened in a store; it is a store.Options.Observe.
func (m *Metrics) PolicyEvent(e store.Event) {
	switch e.Kind {
	case store.EventRead:
		result := readSuccess
		if !e.OK {
			result = readFailed
		}
		m.policyReads.add(result, 1)
		m.policyReadTime.Observe(e.Duration.Seconds())
	case store.EventPolicy:
		if !e.OK {
			m.policyLoads.add(policyInvalid, 1)
			return // what is in force is as old as before
		}
		m.policyLoads.add(policySuccess, 1)
		m.policyLastLoad.Set(float64(e.Time.UnixMilli()) / 1000)
	case store.EventReset:
		m.policyResets.add(e.Reason, 1)
	case store.EventAway:
		stale := 1.0
		if e.OK {
			stale = 0
		}
		m.policyStale.Set(stale)
	}
}

// AuditDropped counts n operations that a sink will not hear of; it is an audit.Options.Dropped.
func (m *Metrics) AuditDropped(_ string, n int) { m.auditLost.Add(float64(n)) }

// Conflated counts a message that a newer one of its topic has replaced while it waited.
func (m *Metrics) Conflated() { m.conflated.Inc() }

// HTTPRefused counts a request that was answered with an HTTP error instead of an upgrade.
func (m *Metrics) HTTPRefused(status int) { m.httpRefusals.add(strconv.Itoa(status), 1) }

// MalformedPacket counts bytes that broke the specification; d is the way they travelled.
func (m *Metrics) MalformedPacket(d wire.Direction) { m.malformed[d].Inc() }
