//! The three calls of etcd's API that are needed, by gRPC. The messages hold the fields that are used; others are skipped, as protobuf has it.

use http::uri::PathAndQuery;
use prost::Message;
use std::time::Duration;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Header {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

#[derive(Clone, PartialEq, Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "vec", tag = "5")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct StatusRequest {}

#[derive(Clone, PartialEq, Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<Header>,
    #[prost(uint64, tag = "4")]
    leader: u64,
}

#[derive(Clone)]
pub(crate) struct Etcd(Channel);

impl Etcd {
    pub(crate) async fn connect(port: u16) -> Result<Self, String> {
        let endpoint =
            Endpoint::try_from(format!("http://127.0.0.1:{port}")).map_err(|e| e.to_string())?;
        let endpoint = endpoint.tcp_nodelay(true).timeout(Duration::from_secs(30));
        endpoint
            .connect()
            .await
            .map(Self)
            .map_err(|e| format!("{e:?}"))
    }

    pub(crate) async fn put(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let ask = PutRequest {
            key: key.to_vec(),
            value: value.to_vec(),
        };
        let _: PutResponse = self.call("/etcdserverpb.KV/Put", ask).await?;
        Ok(())
    }

    pub(crate) async fn get(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        let answer: RangeResponse = self
            .call("/etcdserverpb.KV/Range", RangeRequest { key: key.to_vec() })
            .await?;
        Ok(answer
            .kvs
            .into_iter()
            .next()
            .map(|kv| kv.value)
            .unwrap_or_default())
    }

    pub(crate) async fn leads(&self) -> Result<bool, String> {
        let status: StatusResponse = self
            .call("/etcdserverpb.Maintenance/Status", StatusRequest {})
            .await?;
        let own = status.header.unwrap_or_default().member_id;
        Ok(own != 0 && own == status.leader)
    }

    async fn call<Q, A>(&self, path: &'static str, ask: Q) -> Result<A, String>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|e| format!("{e:?}"))?;
        let codec = ProstCodec::<Q, A>::default();
        let answer = grpc
            .unary(
                tonic::Request::new(ask),
                PathAndQuery::from_static(path),
                codec,
            )
            .await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|e| format!("{path}: {e}"))
    }
}
