package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"topicgate/policy"
	"topicgate/policy/payload"
	"topicgate/policy/store"
)

// message is what "policy explain --payload" asks about, beside a topic.
type message struct {
	file    string
	payload []byte
	qos     uint8
	retain  bool
}

// read reads the payload. The error is an outcome.
func (m *message) read(stdin io.Reader) (err error) {
	if m.file == "-" {
		m.payload, err = io.ReadAll(stdin)
	} else {
		m.payload, err = os.ReadFile(m.file)
	}
	if err != nil {
		return usage(fmt.Errorf("payload in %s: %w", m.file, err))
	}
	return nil
}

// check refuses flags that do not go together.
func (m *message) check(q question, asked bool) error {
	switch {
	case asked && (q.op != "publish" || m.file == ""):
		return errors.New("--payload, --qos and --retain are of a publish: publish --payload FILE TOPIC")
	case m.qos > 2:
		return errors.New("--qos is 0, 1 or 2")
	case m.file == "-" && q.claimsFile == "-":
		return errors.New("--claims and --payload cannot both be standard input")
	}
	return nil
}

// verdict is what directives say of a message.
type verdict struct {
	Passes    bool   `json:"passes"`
	Reason    string `json:"reason,omitempty"`
	Directive string `json:"directive,omitempty"`
	Pointer   string `json:"pointer,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Stamped   string `json:"stamped,omitempty"` // the payload that goes on
}

// judge holds the message against directives, as a session does; its rate is nobody's here.
func (m *message) judge(rules []*policy.Rule, grant *store.Grant, username string) *verdict {
	_, checks := grant.Checked()
	refusal := payload.Limits(rules, len(m.payload), m.qos, m.retain)
	if refusal == nil {
		refusal = payload.Check(rules, m.payload, checks)
	}
	var out []byte
	var stamped bool
	if refusal == nil {
		out, stamped, refusal = payload.Stamps(rules, nil, m.payload, username)
	}
	switch {
	case refusal != nil:
		return &verdict{Reason: refusal.Reason, Directive: refusal.Rule.String(), Pointer: refusal.Pointer, Detail: refusal.Detail}
	case stamped:
		return &verdict{Passes: true, Stamped: string(out)}
	}
	return &verdict{Passes: true}
}

// lines tell a verdict to people.
func (v *verdict) lines() string {
	switch {
	case v == nil:
		return ""
	case v.Passes && v.Stamped != "":
		return "the message passes, as\n  " + v.Stamped + "\n"
	case v.Passes:
		return "the message passes as it is\n"
	}
	text := fmt.Sprintf("the message is refused (%s) by %s\n  %s\n", v.Reason, v.Directive, v.Detail)
	if v.Pointer != "" {
		text += "  at " + v.Pointer + "\n"
	}
	return text
}
