package session

import (
	"topicgate/frames"
)

// aliasMaximum bounds the Topic Aliases of each direction, and so the memory that a peer can fill with
// long Topic Names. Brokers and clients that offer more are told of this many.
const aliasMaximum = 64

// topicAlias is what a Topic Alias means to the peer that uses it, and whether the other side has been
// told the same: a PUBLISH that is refused or dropped may be the one that gives an alias its meaning.
type topicAlias struct {
	topicName []byte // nil: no meaning yet
	told      bool
	fault     error // why topicName is no Topic Name; nil: it is one
}

// judge returns what is wrong with a PUBLISH of the alias: fault, or that the alias means no Topic Name.
func (a *topicAlias) judge(publish *frames.Publish, fault error) error {
	if fault != nil && len(publish.TopicName) > 0 && a.fault == nil {
		if err := frames.CheckTopicName(a.topicName); err != nil {
			a.fault = err
		}
	}
	if fault == nil {
		return a.fault
	}
	return fault
}

// resolve gives the alias of a PUBLISH, if it has one, with the meaning that the PUBLISH gives it or
// that it has. table has an element for each alias, from 1 on.
func resolveAlias(table *[]topicAlias, maximum uint16, publish *frames.Publish) (*topicAlias, error) {
	n, ok := publish.Properties.Uint(frames.PropTopicAlias)
	if !ok {
		return nil, nil
	}
	if n == 0 || n > uint32(maximum) {
		return nil, &frames.Error{Type: frames.TypePublish, Code: frames.TopicAliasInvalid, Rule: "MQTT-3.3.2-9", Detail: "Topic Alias over the maximum"}
	}
	if *table == nil {
		*table = make([]topicAlias, maximum)
	}
	alias := &(*table)[n-1]
	switch {
	case len(publish.TopicName) > 0:
		if string(alias.topicName) != string(publish.TopicName) {
			*alias = topicAlias{topicName: append(alias.topicName[:0], publish.TopicName...)}
		}
	case alias.topicName == nil:
		return nil, &frames.Error{Type: frames.TypePublish, Code: frames.ProtocolError, Rule: "MQTT-3.3.2-8", Detail: "Topic Alias without a meaning"}
	}
	return alias, nil
}
