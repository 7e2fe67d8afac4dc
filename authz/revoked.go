package authz

import (
	"time"

	"github.com/credence-authz/credence/session"
)

// revoked says whether the token, its subject, its provider's session or its client
// was revoked here since it was issued. It is asked on every request: a remembered
// verdict says that a token was good, not that it still is.
func (j *judgement) revoked() bool {
	v := j.engine.revocations
	if v == nil || v.Empty() {
		return false
	}
	if !j.memo.answered {
		j.memo.who = j.identity()
	}
	return v.Revoked(&j.memo.who)
}

// identity is the token's, as revocations name it.
func (j *judgement) identity() session.Identity {
	claims := j.token.Claims
	text := func(name string) string {
		s, _ := claims.Lookup(name).Text()
		return s
	}
	who := session.Identity{
		Issuer: string(j.token.Provider.Issuer()), Subject: string(j.Subject), SID: text("sid"), TokenID: text("jti"), ClientID: j.ClientID,
	}
	if issued, ok := claims.Lookup("iat").Float(); ok {
		who.Issued = time.Unix(int64(issued), 0)
	}
	return who
}
