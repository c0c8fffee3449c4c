from fastapi import APIRouter, Response, status

from app.config import settings
from app.database import SessionDep, lock_database
from app.dependencies import HashingTurn, LoginUser, commit_user
from app.errors import INVALID_BODY, PUBLIC, TOO_MANY_FAILURES, UNAVAILABLE, USER_CONFLICT, error
from app.models import Token, User, UserCreate, UserPublic
from app.security import create_token, hash_password

router = APIRouter(prefix="/auth", tags=["auth"], dependencies=[HashingTurn], responses=INVALID_BODY | UNAVAILABLE)

TOO_MANY_FIELDS = error(400, "Too many fields. Maximum number of fields is 1000.")
WRONG_LOGIN = error(401, "Incorrect username or password")


@router.post(
    "/register",
    response_model=UserPublic,
    status_code=status.HTTP_201_CREATED,
    responses=USER_CONFLICT,
    openapi_extra=PUBLIC,
)
def register(user_in: UserCreate, session: SessionDep) -> User:
    """Create an account. Whoever registers first becomes admin."""
    user = User.model_validate(user_in, update={"hashed_password": hash_password(user_in.password)})
    if settings.first_user_is_admin and not User.exists(session):
        lock_database(session)
        user.is_admin = not User.exists(session)
    session.add(user)
    commit_user(session)
    return user


@router.post("/token", responses=TOO_MANY_FIELDS | WRONG_LOGIN | TOO_MANY_FAILURES, openapi_extra=PUBLIC)
async def create_access_token(user: LoginUser, response: Response) -> Token:
    """Exchange a username and a password for a token, to be sent as `Authorization: Bearer`."""
    response.headers["Cache-Control"] = "no-store"
    expires_in = 60 * settings.access_token_expire_minutes
    return Token(access_token=create_token(user.id, user.token_version), expires_in=expires_in)
