// Private clusters: the app has a network of its own, and storage and vault are reached by private endpoints alone.
using 'main.bicep'

param name = 'fluxless'
param privateNetwork = true
param sourceIdentity = true
param durableAlwaysReady = 1
param clusters = [
  {
    name: 'prod-west'
    resourceId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/west/providers/Microsoft.ContainerService/managedClusters/prod'
  }
  {
    name: 'prod-north'
    resourceId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/north/providers/Microsoft.ContainerService/managedClusters/prod'
  }
]
param peerNetworkIds = [
  '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/west/providers/Microsoft.Network/virtualNetworks/prod'
]
param clusterDnsZoneIds = [
  '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/west-nodes/providers/Microsoft.Network/privateDnsZones/example.privatelink.westeurope.azmk8s.io'
]
param registries = [
  {
    resourceId: '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/registries/providers/Microsoft.ContainerRegistry/registries/example'
    events: true
    abac: true
  }
]
