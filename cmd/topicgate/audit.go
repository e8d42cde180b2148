package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"

	"topicgate/frames"
	"topicgate/gateway/audit"
)

const (
	// followWait is how long Redis is asked to wait for the next record.
	followWait = time.Second
	// followRetry is the longest pause while Redis cannot be read.
	followRetry = 2 * time.Second
)

func newAudit(environ []string) *cobra.Command {
	var want auditQuery
	var since string
	var follow, asJSON bool
	c := &cobra.Command{
		Use:   "audit [--follow] [--user USER] [--since 1h] [--reason REASON] [--topic FILTER] [--json]",
		Short: "Show the audit records of all instances",
		Long: "Shows what the gateways have written to the audit stream in Redis (TOPICGATE_AUDIT has to name redis there), oldest\n" +
			"first. It reads the same Redis as the gateways, by the same TOPICGATE_ variables. With --follow it goes on with what\n" +
			"comes, also after Redis was away. Colours are for a terminal alone, and not with NO_COLOR in the environment.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := parseSince(since, time.Now())
			if err == nil && want.topic != "" {
				if err = frames.CheckTopicFilter(want.topic); err != nil {
					err = fmt.Errorf("--topic: %w", err)
				}
			}
			if err != nil {
				return usage(err)
			}
			want.anyUser = !cmd.Flags().Changed("user")
			policies, prefix, err := openRegistry(environ)
			if err != nil {
				return err
			}
			defer policies.Close()
			reader := audit.NewReader(policies.Client(), prefix+"audit", from)
			out := newAuditPrinter(cmd.OutOrStdout(), asJSON, coloured(cmd.OutOrStdout(), environ))
			if follow {
				err = followAudit(cmd.Context(), reader, want, out, cmd.ErrOrStderr())
			} else {
				err = showAudit(cmd.Context(), reader, want, out)
			}
			if err != nil {
				return failed(err)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&follow, "follow", false, "go on with what comes, until interrupted")
	c.Flags().StringVar(&want.user, "user", "", "only records of this username; \"\": of who was not known")
	c.Flags().StringVar(&since, "since", "1h", "how far back, or a time such as 2026-11-21T10:00:00Z")
	c.Flags().StringVar(&want.reason, "reason", "", "only records with this reason")
	c.Flags().StringVar(&want.topic, "topic", "", "only records whose topic matches this MQTT Topic Filter")
	c.Flags().BoolVar(&asJSON, "json", false, "a JSON object a line")
	return c
}

// parseSince reads a time, or how long ago that is.
func parseSince(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("--since: %q is neither a duration such as 1h nor a time such as 2026-11-21T10:00:00Z", text)
	}
	return at, nil
}

// auditQuery says which records are wanted.
type auditQuery struct {
	user    string
	anyUser bool
	reason  string // empty: any
	topic   string // Topic Filter; empty: any, and none
}

func (q auditQuery) wants(e *audit.Event) bool {
	if !q.anyUser && e.User != q.user || cmp.Or(q.reason, e.Reason) != e.Reason {
		return false
	}
	if q.topic == "" {
		return true
	}
	topic := e.Topic
	if shared, ok := strings.CutPrefix(topic, "$share/"); ok && e.Action == audit.Subscribe { // 5.0 section 4.8.2
		_, topic, _ = strings.Cut(shared, "/")
	}
	// The filter of a SUBSCRIBE is looked at as if it were a name.
	return topic != "" && frames.Match(q.topic, topic)
}

// showAudit prints what there is.
func showAudit(ctx context.Context, r *audit.Reader, want auditQuery, out *auditPrinter) error {
	for {
		events, err := r.Next(ctx, 0)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return out.end()
		}
		if err := out.print(events, want); err != nil {
			return err
		}
	}
}

// followAudit prints what there is and what comes, until ctx ends. An outage of Redis is told once and waited for.
func followAudit(ctx context.Context, r *audit.Reader, want auditQuery, out *auditPrinter, stderr io.Writer) error {
	pauses := backoff.ExponentialBackOff{InitialInterval: followRetry / 8, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: followRetry}
	for away := false; ctx.Err() == nil; {
		events, err := r.Next(ctx, followWait)
		if err != nil {
			if !away && ctx.Err() == nil {
				fmt.Fprintf(stderr, "topicgate: Redis cannot be read, trying again: %s\n", cell(err.Error()))
				pauses.Reset()
			}
			away = true
			select {
			case <-time.After(pauses.NextBackOff()):
			case <-ctx.Done():
			}
			continue
		}
		if away {
			fmt.Fprintln(stderr, "topicgate: Redis is read again")
			away = false
		}
		if err := out.print(events, want); err != nil {
			return err
		}
	}
	return nil
}
