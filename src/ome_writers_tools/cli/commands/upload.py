"""``ome-writers upload``: copies a dataset to an object store, also while it is written."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from dataclasses import asdict

from ome_writers_tools.cli.arguments import add_dataset_argument, positive, worker_count
from ome_writers_tools.cli.command import FAILURE, SUCCESS, Command
from ome_writers_tools.cli.console import Screen
from ome_writers_tools.cli.quantities import human_size, size_in_files


def _arguments(parser: ArgumentParser) -> None:
    add_dataset_argument(parser)
    parser.add_argument(
        "url",
        metavar="URL",
        help="s3://BUCKET/PREFIX, gs://, az://, or a folder, as on a network share",
    )
    parser.add_argument(
        "--follow", action="store_true", help="upload until the writer has closed the dataset"
    )
    parser.add_argument(
        "--delete-after",
        action="store_true",
        help="remove PATH when the content of every file was verified in the store",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="remove everything below URL first if it is not a copy of this dataset",
    )
    parser.add_argument(
        "--workers",
        type=worker_count,
        default=4,
        metavar="N",
        help="requests at a time, at most 1,000 (default: 4)",
    )
    parser.add_argument(
        "--limit",
        type=positive,
        metavar="MB/S",
        help="limit of the bandwidth in megabytes per second",
    )
    parser.add_argument(
        "--endpoint", metavar="URL", help="of a store that is compatible with S3, such as MinIO"
    )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers import mirror

    with ExitStack() as stack:
        relabel = stack.enter_context(screen.spinner("Uploading"))

        def on_file(done: int, planned: int) -> None:
            relabel(f"{done} of {planned} files")

        result = mirror(
            options.path,
            options.url,
            follow=options.follow,
            delete=options.delete_after,
            overwrite=options.overwrite,
            workers=options.workers,
            bytes_per_second=options.limit and options.limit * 1e6,
            storage_options=options.endpoint and {"endpoint": options.endpoint},
            on_file=on_file,
        )
    if options.json:
        screen.json({**asdict(result), "path": str(result.path)})
    else:
        sent = f"{human_size(result.uploaded_bytes)} in {result.uploaded_files} files"
        rows = {
            "from": str(result.path),
            "status": result.status or "unknown",
            "size": size_in_files(result.bytes, result.files),
            "sent": f"{sent}, {result.seconds:.1f} s",
        }
        screen.fields(result.url, rows)
    if options.follow and result.status == "writing":
        screen.error(
            f"{result.path}: its writer ended without closing it. The copy has the frames that are on disk. Run "
            "`ome-writers repair`, then upload again."
        )
        return FAILURE
    return SUCCESS


COMMAND = Command(
    name="upload",
    summary="Copy a dataset to an object store, also while it is written",
    examples=(
        (
            "ome-writers upload run.ome.zarr s3://bucket/run.ome.zarr",
            "credentials: the environment",
        ),
        (
            "ome-writers upload run.ome.zarr s3://bucket/run.ome.zarr --follow",
            "while it is written",
        ),
        ("ome-writers upload run.ome.zarr /mnt/share/run.ome.zarr", "a folder on a network share"),
        (
            "ome-writers upload run.ome.zarr s3://bucket/run --endpoint http://localhost:9000",
            "another store than AWS",
        ),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; run it again to send the remaining files",
    failure="the store has refused files, is not verified, or the writer was killed; run it again to send the rest",
)
