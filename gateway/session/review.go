package session

import "topicgate/frames"

// requestReview has the subscriptions reviewed soon. It takes no lock that is held over work: see reviewRequest.
func (s *Session) requestReview() {
	if s.table.Follows() && s.requested.want() {
		s.host.reviewers.add(s)
	}
}

// review makes the subscriptions upstream follow the policy. It calls wait before anything that may take long
// for another reason than that there is much to do.
func (s *Session) review(wait func()) {
	turn, mine := s.table.TryTurn()
	if !mine {
		wait()
		turn = s.table.Turn()
	}
	defer turn.End()
	if s.left.Load() {
		return // the broker hears nothing after DISCONNECT
	}
	if s.table.Congested() {
		s.requested.postponed.Store(true) // until the broker answers
		if s.table.Congested() {
			return
		}
	}
	plan := turn.Review(s.access())
	if plan.Changes() || plan.Rereads() || len(plan.Covers) > 0 {
		wait()
	}
	all, err := s.commit(plan, frames.Properties(nil))
	if err == nil && len(all.Packets) > 0 {
		if err = s.send(all.Packets); err == nil {
			if err = s.upstream.Flush(); err != nil {
				err = s.brokerWriteError(err)
			}
		}
	}
	if err != nil {
		s.finish(err)
		return
	}
	if len(plan.Covers) > 0 && s.tellAccess(plan.Covers) == nil {
		_ = s.client.Flush() // a failure shows itself to the pumps
	}
}
