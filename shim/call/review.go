package call

import "mcpgateway/internal/audit"

// maxReviews bounds the verdicts of one exchange's record: a stream may have any number of messages. Verdicts that
// changed something have half of the room to themselves.
const maxReviews = 64

// Review keeps a filter's verdict for the record, unless that was written already.
func (x *Exchange) Review(v audit.Verdict) {
	if x.recorded || len(x.Reviews) >= maxReviews || v.Status == audit.VerdictOK && len(x.Reviews) >= maxReviews/2 {
		return
	}
	x.Reviews = append(x.Reviews, v)
}
