//! Where a tenant's chunk comes from: the disk, the origin, what was shipped with the host.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use flagforge::{Directory, LoadTenantError, Status};
use flagforge_flags::manifest::tenant_shard;

use super::{NAME, Place, SHARDS, SOON, asked, loaded, one_of_each};

#[tokio::test]
async fn the_disk_keeps_what_is_held_and_nothing_else() {
    let names = one_of_each(8);
    let mut place = Place::of(&names);
    let cache = tempfile::tempdir().unwrap();
    let start = async |place: &Place| {
        let connect = place.connect(Directory::on_demand()).cache_dir(cache.path());
        connect.start_within(Duration::from_millis(500)).await.unwrap()
    };
    let client = start(&place).await;
    client.load_tenant(&names[0]).await.unwrap();
    client.load_tenant(&names[1]).await.unwrap();
    assert!(client.close().await);

    place.origin.go_dark(true);
    let client = start(&place).await;
    assert_eq!((client.status(), loaded(&client, &names)), (Status::LastKnownGood, vec![]));
    assert_eq!(client.load_tenant(&names[1]).await.unwrap().flags().get(&NAME), "1");
    let refused = client.load_tenant(&names[2]).await;
    assert!(matches!(refused, Err(LoadTenantError::Unloadable(_))), "{refused:?}");
    place.origin.go_dark(false);
    // Two generations later what was let go at the restart is gone from the disk, too.
    for revision in ["1.2", "1.3"] {
        place.publish();
        assert!(client.wait_for(revision.parse().unwrap()).within(SOON).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(client.close().await);
    let chunks = cache.path().join("demo/prod");
    let folder = fs::read_dir(chunks).unwrap().next().unwrap().unwrap().path().join("chunks");
    let on_disk: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .filter(|text| text.starts_with("{\"tenants\""))
        .collect();
    assert_eq!(on_disk.len(), 1, "{on_disk:?}");
    assert!(on_disk.iter().all(|text| text.contains(&format!("{:?}", names[1]))));
}

#[tokio::test]
async fn what_was_shipped_with_the_host_is_asked_where_the_origin_is_dark() {
    let names = one_of_each(3);
    let place = Place::of(&names);
    place.origin.go_dark(true);
    let client = place
        .connect(Directory::on_demand())
        .bootstrap(&place.publisher.folder)
        .start_within(Duration::from_millis(500))
        .await
        .unwrap();
    assert_eq!(client.load_tenant(&names[2]).await.unwrap().flags().get(&NAME), "2");
}

#[tokio::test]
async fn a_bad_chunk_spoils_the_load_of_its_own_tenants() {
    let names = one_of_each(2);
    let place = Place::of(&names);
    let client = place.connect(Directory::on_demand()).await.unwrap();
    let shard = tenant_shard(&names[0], SHARDS);
    for entry in fs::read_dir(place.publisher.folder.join("demo/chunks")).unwrap().flatten() {
        let mut bytes = fs::read(entry.path()).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if text.starts_with("{\"tenants\"") && text.contains(&format!("{:?}", names[0])) {
            bytes[2] ^= 1;
            fs::write(entry.path(), bytes).unwrap();
        }
    }
    let (bad, good) = tokio::join!(
        client.load_tenant(&names[0]).within(SOON),
        client.load_tenant(&names[1]).within(SOON)
    );
    assert!(matches!(bad, Err(LoadTenantError::Unloadable(_))), "{shard}: {bad:?}");
    assert_eq!(good.unwrap().flags().get(&NAME), "1");
    assert_eq!(asked(&client, &names[0]), None);
    assert_eq!(client.status(), Status::Ready);
}
