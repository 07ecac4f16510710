"""What happens at the door beyond Django's own user_logged_in, user_logged_out and user_login_failed.

`audit` listens to all of them and writes its row in the transaction of the sender. Every signal carries `request`.
"""

from __future__ import annotations

from django.dispatch import Signal

# user: a new pair of tokens was given for a refresh token.
tokens_refreshed = Signal()
# user: a refresh token that had been used before came again; its session was closed.
refresh_token_reused = Signal()
# request only: a refresh token was malformed, expired, or of a session that is over.
refresh_refused = Signal()
# username: a login was refused unread, after too many failures.
login_throttled = Signal()
