"""Where the bundled store's endpoints are, for people and scripts (shell: reads the embedded store's key)."""

from typing import Any

from cluster.loopback import load_topology
from fivenines import secrets
from fivenines.config import Config
from fivenines.wiring import ACCESS_KEY_ID, secrets_dir


def listing(config: Config) -> dict[str, Any]:
    """Every endpoint with its name for DNS and TLS, and one plain URL a router for clients that do not use our DNS."""
    topology = load_topology(config.cluster)
    key = secrets_dir(config.state_dir) / "store_key"
    port = "" if topology.single else f":{config.cluster.https_port}"
    endpoints = [
        {
            "name": name,
            "host": host,
            "https_url": f"https://{host}{port}",
            "url": f"http://{topology.routers[0].http[name]}",
            "urls": [f"http://{router.http[name]}" for router in topology.routers],
        }
        for name, host in topology.endpoint_hosts.items()
    ]
    return {
        "region": config.cluster.region,
        "dns": str(topology.dns),
        "ca_file": str(config.state_dir / "certificates" / "ca.pem"),
        "access_key_id": ACCESS_KEY_ID,
        "secret_access_key": secrets.read(key) if key.exists() else None,
        "endpoints": endpoints,
    }


def shell_lines(listed: dict[str, Any]) -> list[str]:
    """``export`` lines with which boto3 and the AWS CLI sign for the bundled store."""
    return [
        f"export AWS_ACCESS_KEY_ID={listed['access_key_id']}",
        f"export AWS_SECRET_ACCESS_KEY={listed['secret_access_key'] or '(made by the first fivenines up)'}",
        f"export AWS_DEFAULT_REGION={listed['region']}",
    ]
