from store import client
import batchio


@batchio.loader(memo=False)
async def UserItem(keys):
    """Reads users."""
    answers = {}
    # one round trip
    ids = [item for item in keys]
    users = client.get_users(ids)
    for item in keys:
        answers[item] = users[item]
    return answers


async def name(user_id):
    user = await UserItem(user_id)
    return user.name
