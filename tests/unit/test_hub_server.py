"""The Hub that other tests publish to and read from: it behaves as the real one where that matters."""

import hashlib
import urllib.error
import urllib.request
from email.message import Message

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile, RepoFolder

from tests.hub import Hub

NAME = "tester/books"
SHARD = "data/chunks/shard.parquet"
CONTENT = b"0123456789"


@pytest.fixture
def hub(hub: Hub) -> Hub:
    """A Hub with one private repository that holds one shard."""
    hub.create(NAME)
    hub.push(NAME, {SHARD: hub.keep(CONTENT, is_lfs=True), "README.md": hub.keep(b"# Books\n", is_lfs=False)}, "one")
    return hub


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(token=hub.token)


def get(hub: Hub, path: str, method: str = "GET", **headers: str) -> tuple[int, Message, bytes]:
    """Make a plain request with the token that may only read."""
    every = {"Authorization": f"Bearer {hub.read_token}"} | headers
    request = urllib.request.Request(hub.endpoint + path, method=method, headers=every)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


class TestRepositories:
    def test_one_is_created_once(self, hub: Hub, api: HfApi) -> None:
        api.create_repo("tester/new", repo_type="dataset", private=True)
        api.create_repo("tester/new", repo_type="dataset", exist_ok=True)
        with pytest.raises(HfHubHTTPError, match="409"):
            api.create_repo("tester/new", repo_type="dataset")
        assert hub.repositories["tester/new"].private
        assert [commit.message for commit in hub.commits("tester/new")] == ["initial commit"]

    def test_a_private_one_is_hidden_from_strangers(self, hub: Hub, api: HfApi) -> None:
        assert api.repo_info(NAME, repo_type="dataset").private
        with pytest.raises(RepositoryNotFoundError):
            HfApi(token=False).repo_info(NAME, repo_type="dataset")

    def test_branches_go_their_own_way(self, hub: Hub, api: HfApi) -> None:
        api.create_branch(NAME, repo_type="dataset", branch="next/one")
        hub.push(NAME, {}, "emptied", "next/one")
        assert (
            api.repo_info(NAME, repo_type="dataset", revision="next/one").sha == hub.commits(NAME, "next/one")[-1].oid
        )
        assert api.repo_info(NAME, repo_type="dataset").sha == hub.commits(NAME)[-1].oid
        with pytest.raises(RevisionNotFoundError):
            api.repo_info(NAME, repo_type="dataset", revision="elsewhere")


class TestListings:
    def test_the_tree_of_all_depths(self, api: HfApi) -> None:
        entries = {entry.path: entry for entry in api.list_repo_tree(NAME, repo_type="dataset", recursive=True)}
        assert sorted(entries) == ["README.md", "data", "data/chunks", SHARD]
        shard = entries[SHARD]
        assert isinstance(shard, RepoFile)
        assert shard.lfs is not None
        assert (shard.size, shard.lfs.sha256) == (10, hashlib.sha256(CONTENT).hexdigest())
        assert isinstance(entries["data"], RepoFolder)

    def test_the_tree_of_one_folder(self, api: HfApi) -> None:
        assert {entry.path for entry in api.list_repo_tree(NAME, repo_type="dataset")} == {"README.md", "data"}
        assert [entry.path for entry in api.list_repo_tree(NAME, "data", repo_type="dataset")] == ["data/chunks"]

    def test_paths_that_exist(self, api: HfApi) -> None:
        found = api.get_paths_info(NAME, [SHARD, "data", "missing"], repo_type="dataset")
        assert [entry.path for entry in found] == [SHARD, "data"]


class TestCommits:
    def test_files_are_added_and_deleted(self, hub: Hub, api: HfApi) -> None:
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd("data/b.parquet", b"b"),
            CommitOperationAdd("notes", b"n"),
            CommitOperationDelete(SHARD),
        ]
        commit = api.create_commit(NAME, operations, commit_message="two", repo_type="dataset")
        assert hub.commits(NAME)[-1].oid == commit.oid
        assert hub.contents(NAME) == {"README.md": b"# Books\n", "data/b.parquet": b"b", "notes": b"n"}
        assert hub.contents(NAME, hub.commits(NAME)[-2].oid)[SHARD] == CONTENT

    def test_one_on_a_head_that_has_moved_is_refused(self, hub: Hub, api: HfApi) -> None:
        parent = hub.commits(NAME)[-2].oid
        with pytest.raises(HfHubHTTPError, match="412"):
            api.create_commit(
                NAME,
                [CommitOperationAdd("notes", b"n")],
                commit_message="late",
                repo_type="dataset",
                parent_commit=parent,
            )
        assert "notes" not in hub.contents(NAME)

    def test_content_that_is_known_is_not_uploaded_again(self, hub: Hub, api: HfApi) -> None:
        operations = [CommitOperationAdd("data/copy.parquet", CONTENT)]
        api.create_commit(NAME, operations, commit_message="copy", repo_type="dataset")
        assert hub.contents(NAME)["data/copy.parquet"] == CONTENT
        assert hub.count("PUT /lfs/") == 0

    def test_an_upload_must_be_what_it_claims(self, hub: Hub) -> None:
        request = urllib.request.Request(f"{hub.endpoint}/lfs/{'0' * 64}", data=b"other", method="PUT")
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(request)

    def test_a_token_that_may_only_read_may_not_commit(self, hub: Hub) -> None:
        with pytest.raises(HfHubHTTPError, match="403"):
            HfApi(token=hub.read_token).create_commit(
                NAME, [CommitOperationAdd("notes", b"n")], commit_message="no", repo_type="dataset"
            )


class TestFiles:
    PATH = f"/datasets/{NAME}/resolve/main/{SHARD}"

    def test_a_file_comes_whole(self, hub: Hub) -> None:
        status, headers, body = get(hub, self.PATH)
        assert (status, body) == (200, CONTENT)
        assert headers["ETag"] == headers["X-Linked-Etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
        assert headers["X-Repo-Commit"] == hub.commits(NAME)[-1].oid

    def test_its_size_can_be_asked(self, hub: Hub) -> None:
        status, headers, body = get(hub, self.PATH, method="HEAD")
        assert (status, headers["Content-Length"], headers["X-Linked-Size"], body) == (200, "10", "10", b"")

    @pytest.mark.parametrize(
        ("asked", "content_range", "part"),
        [
            ("bytes=2-5", "bytes 2-5/10", b"2345"),
            ("bytes=7-", "bytes 7-9/10", b"789"),
            ("bytes=-3", "bytes 7-9/10", b"789"),
            ("bytes=8-99", "bytes 8-9/10", b"89"),
        ],
    )
    def test_a_part_of_it_can_be_asked(self, hub: Hub, asked: str, content_range: str, part: bytes) -> None:
        status, headers, body = get(hub, self.PATH, Range=asked)
        assert (status, headers["Content-Range"], body) == (206, content_range, part)

    def test_a_part_beyond_its_end_is_refused(self, hub: Hub) -> None:
        status, headers, _ = get(hub, self.PATH, Range="bytes=10-")
        assert (status, headers["Content-Range"]) == (416, "bytes */10")

    def test_one_that_is_missing_is_named_so(self, hub: Hub) -> None:
        status, headers, _ = get(hub, f"/datasets/{NAME}/resolve/main/missing")
        assert (status, headers["X-Error-Code"]) == (404, "EntryNotFound")


class TestFaults:
    def test_they_come_as_often_as_told(self, hub: Hub) -> None:
        hub.fail("GET /resolve/", 429, times=2, retry_after="7")
        answers = [get(hub, TestFiles.PATH) for _ in range(3)]
        assert [status for status, _, _ in answers] == [429, 429, 200]
        assert answers[0][1]["Retry-After"] == "7"
        assert hub.count("GET /resolve/") == 3

    def test_a_request_may_be_carried_out_and_only_its_answer_lost(self, hub: Hub, api: HfApi) -> None:
        hub.fail("POST /commit/", 504, done_first=True)
        with pytest.raises(HfHubHTTPError, match="504"):
            api.create_commit(NAME, [CommitOperationAdd("notes", b"n")], commit_message="lost", repo_type="dataset")
        assert hub.contents(NAME)["notes"] == b"n"

    def test_something_may_happen_right_before_a_request(self, hub: Hub) -> None:
        hub.before("GET /resolve/", lambda: hub.push(NAME, {}, "emptied"))
        assert get(hub, TestFiles.PATH)[0] == 404
        assert [commit.message for commit in hub.commits(NAME)] == ["initial commit", "one", "emptied"]
